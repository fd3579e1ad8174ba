"""The targets of a configuration on an engine: carries out what the health machines command."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from shoal.ipc.messages import HealthReport, TargetHealth
from shoal.model import Cluster, Health, ProgramProbe
from shoal.nanny.engine import Engine, Running, Timed
from shoal.nanny.machine import (
    AbandonProbes,
    ChangeHealth,
    ChangeReason,
    Command,
    DeadlineReached,
    HealthMachine,
    Outcome,
    ProbeEnded,
    Remembered,
    StartProbe,
    Verdict,
)
from shoal.nanny.memory import LastKnown
from shoal.nanny.probes import prepare
from shoal.nanny.questions import Asker, Question, questions
from shoal.nanny.schedule import FIRST_ROUND_SPACING, first_regular, phases

_DEADLINE_REACHED = DeadlineReached()
_WORDS: Mapping[Health, Literal["unknown", "up", "down"]] = {
    Health.UNKNOWN: "unknown",
    Health.UP: "up",
    Health.DOWN: "down",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told: of changes of health, of changes of its reason only, of probes we could not make."""

    changed: Callable[["Target", ChangeHealth, float], None]
    explained: Callable[[], None]
    void: Callable[[str], None]


class Target(Timed):
    """A question that is being asked, on behalf of its askers."""

    __slots__ = ("_engine", "_make", "_running", "_tell", "askers", "machine", "question")

    def __init__(
        self,
        question: Question,
        askers: tuple[Asker, ...],
        *,
        machine: HealthMachine,
        engine: Engine,
        tell: Listeners,
    ) -> None:
        super().__init__(machine.deadline)
        self.question = question
        self.askers = askers
        self.machine = machine
        self._engine = engine
        self._tell = tell
        self._make = prepare(question)
        self._running: list[Running] = []
        engine.wake(self)

    def due(self, now: float) -> None:
        """The machine's deadline has come."""
        self._execute(self.machine.handle(_DEADLINE_REACHED, now=now), now)

    def stop(self) -> None:
        """Ask no more."""
        self.deadline = None
        self._abandon()

    def _ended(self, outcome: Outcome, now: float) -> None:
        self._running = [running for running in self._running if not running.over]
        if outcome.verdict is Verdict.VOID:
            self._tell.void(outcome.reason)
        self._execute(self.machine.handle(ProbeEnded(outcome), now=now), now)

    def _execute(self, commands: tuple[Command, ...], now: float) -> None:
        for command in commands:
            match command:
                case StartProbe():
                    running = self._engine.start(
                        self._make(), timeout=self.question.timeout, ended=self._ended
                    )
                    self._running.append(running)
                case AbandonProbes():
                    self._abandon()
                case ChangeHealth():
                    self._tell.changed(self, command, now)
                case ChangeReason():
                    self._tell.explained()
        self.deadline = self.machine.deadline
        self._engine.wake(self)

    def _abandon(self) -> None:
        for running in self._running:
            self._engine.abandon(running)
        self._running.clear()


class Targets:
    """Every target of the configuration in force."""

    def __init__(self, engine: Engine, *, tell: Listeners) -> None:
        self._engine = engine
        self._tell = tell
        self._targets: dict[Question, Target] = {}
        self._digest = b""

    def __len__(self) -> int:
        return len(self._targets)

    def load(self, cluster: Cluster, *, remembered: Mapping[str, Remembered]) -> None:
        """Ask what this configuration asks.

        A question that stays goes on undisturbed; one whose rhythm alone changed keeps its health;
        ``remembered``, by identity, serves those that are new.
        """
        asked = questions(cluster)
        known = dict(remembered)
        known.update(
            (question.identity, target.machine.remembered()) for question, target in self._targets.items()
        )
        for question, target in self._targets.items():
            if question not in asked:
                target.stop()
        offsets = phases([question.interval for question in asked])
        now = first = self._engine.now()
        targets = {}
        for (question, askers), offset in zip(asked.items(), offsets, strict=True):
            target_ = self._targets.get(question)
            if target_ is None:
                regular = first_regular(first=first, origin=now, phase=offset, interval=question.interval)
                machine = _machine(
                    question, first=first, regular=regular, remembered=known.get(question.identity)
                )
                target_ = Target(question, askers, machine=machine, engine=self._engine, tell=self._tell)
                first += FIRST_ROUND_SPACING
            target_.askers = askers
            targets[question] = target_
        self._targets = targets
        self._digest = cluster.digest

    def report(self, *, unix_offset: float) -> HealthReport:
        """The health of all. ``unix_offset``: what to add to the engine's clock for Unix time."""
        return HealthReport(
            config_digest=self._digest.hex(),
            targets=tuple(
                TargetHealth(
                    virtual_server=asker.virtual_server,
                    real_server=asker.endpoint,
                    health=_WORDS[target.machine.health],
                    reason=target.machine.reason,
                    since=round(target.machine.since + unix_offset, 3),
                )
                for target in self._targets.values()
                for asker in target.askers
            ),
        )

    def last_known(self, *, unix_offset: float) -> Mapping[str, LastKnown]:
        """The health of all that is known, by the questions' identities, to be remembered."""
        return {
            question.identity: LastKnown(
                health=_WORDS[target.machine.health],
                reason=target.machine.reason,
                since=round(target.machine.since + unix_offset, 3),
            )
            for question, target in self._targets.items()
            if target.machine.health is not Health.UNKNOWN
        }


def _machine(
    question: Question, *, first: float, regular: float, remembered: Remembered | None
) -> HealthMachine:
    return HealthMachine(
        interval=question.interval,
        timeout=question.timeout,
        rise=question.rise,
        fall=question.fall,
        first=first,
        regular=regular,
        overlap=not isinstance(question.probe, ProgramProbe),
        remembered=remembered,
    )
