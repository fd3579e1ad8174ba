"""Health of one real server as one question sees it: when to ask, and what the answers mean. Pure.

    health    pass                               failure
    unknown   up                                 down after `fall` in a row
    up        up                                 down after `fall` in a row
    down      up after `rise` in a row           down
              (the first pass ever is enough)

Between failures of a server that is not down yet, the machine does not wait for the next regular probe: it
asks again FAST_RETRY seconds after the failed probe began. And an up server that has left a probe unanswered
for half its timeout is asked a second time beside it, so that a server that fell silent is out after 1.5
timeouts instead of 2.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from shoal.model import Health

FAST_RETRY = 0.2
"""Seconds from the start of a failed probe to its retry, or the interval where that is shorter."""

FLAP_WINDOW = 60.0
"""Seconds over which changes of health are counted."""

_FLAPS_KEPT = 100


class Verdict(StrEnum):
    """What a probe found. ``VOID``: nothing, as this router could not ask (no descriptors, no ports)."""

    PASS = "pass"
    FAIL = "fail"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one probe, and why, in words for an operator."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """Health as an earlier life of this target left it.

    ``since`` is on the machine's clock, and may be negative.
    """

    health: Health
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The machine's deadline has come. Early or late is fine."""


@dataclass(frozen=True, slots=True)
class ProbeEnded:
    """A probe that was started, and not abandoned since, has ended."""

    outcome: Outcome


Event = DeadlineReached | ProbeEnded


@dataclass(frozen=True, slots=True)
class StartProbe:
    """Start a probe; its end, timeout included, is to come back as ``ProbeEnded``."""


@dataclass(frozen=True, slots=True)
class AbandonProbes:
    """End every probe of this target that still runs, without an outcome."""


@dataclass(frozen=True, slots=True)
class ChangeHealth:
    """Health changed: ``answers`` in a row said so. ``flaps``: changes within the last FLAP_WINDOW."""

    previous: Health
    health: Health
    reason: str
    answers: int
    flaps: int


@dataclass(frozen=True, slots=True)
class ChangeReason:
    """Health stayed, its reason did not (a dead server's refused connections became timeouts)."""

    reason: str


Command = StartProbe | AbandonProbes | ChangeHealth | ChangeReason

_START = (StartProbe(),)


class HealthMachine:
    """One target. Times are seconds of any one monotonic clock.

    ``regular`` is the time of its first regular probe: the following ones are whole intervals later, whatever
    happens between. ``overlap`` allows the second probe beside an unanswered one; it is off for probes that
    cost a process.
    """

    __slots__ = (
        "_fall",
        "_flaps",
        "_interval",
        "_needed",
        "_overlap",
        "_patience",
        "_regular",
        "_retry_at",
        "_rise",
        "_running",
        "_started",
        "deadline",
        "failures",
        "health",
        "passes",
        "reason",
        "since",
    )

    def __init__(
        self,
        *,
        interval: float,
        timeout: float,
        rise: int,
        fall: int,
        first: float,
        regular: float,
        overlap: bool = True,
        remembered: Remembered | None = None,
    ) -> None:
        self._interval = interval
        self._patience = timeout / 2
        self._rise = rise
        self._fall = fall
        self._needed = 1 if remembered is None or remembered.health is Health.UNKNOWN else rise
        self._overlap = overlap
        self._running = 0
        self._started = first
        self._regular = regular
        self._retry_at: float | None = first
        self._flaps: deque[float] = deque(maxlen=_FLAPS_KEPT)
        self.passes = 0
        self.failures = 0
        self.health = Health.UNKNOWN if remembered is None else remembered.health
        self.reason = "not probed yet" if remembered is None else remembered.reason
        self.since = first if remembered is None else remembered.since
        self.deadline: float | None = self._next()

    def handle(self, event: Event, *, now: float) -> tuple[Command, ...]:
        """What is to be done now, in order.

        Afterwards ``deadline`` says when to come back; None: at an outcome.
        """
        match event:
            case DeadlineReached():
                commands = self._due(now)
            case ProbeEnded(outcome):
                commands = self._ended(outcome, now)
        self.deadline = self._next()
        return commands

    def remembered(self) -> Remembered:
        """What a later life of this target should start from."""
        return Remembered(self.health, self.reason, self.since)

    def flaps(self, *, now: float) -> int:
        """Changes of health within the last FLAP_WINDOW seconds (the latest 100 of them at most)."""
        while self._flaps and self._flaps[0] <= now - FLAP_WINDOW:
            self._flaps.popleft()
        return len(self._flaps)

    def _due(self, now: float) -> tuple[Command, ...]:
        if self.deadline is None or now < self.deadline:
            return ()
        if self._running == 0:
            self._started = now
            self._retry_at = None
            self._skip_regular(now)
        self._running += 1
        return _START

    def _skip_regular(self, now: float) -> None:
        """The next regular time after ``now``: missed ones are not made up for, and the phase is kept."""
        if self._regular <= now:
            missed = int((now - self._regular) / self._interval) + 1
            self._regular += missed * self._interval

    def _ended(self, outcome: Outcome, now: float) -> tuple[Command, ...]:
        if self._running == 0:
            return ()
        self._running -= 1
        if outcome.verdict is Verdict.PASS:
            return self._passed(outcome.reason, now)
        if outcome.verdict is Verdict.FAIL:
            return self._failed(outcome.reason, now)
        return ()

    def _passed(self, reason: str, now: float) -> tuple[Command, ...]:
        self.failures = 0
        self.passes += 1
        abandon = self._abandon()
        if self.health is Health.UP:
            return abandon + self._explain(reason)
        if self.passes < self._needed:
            return abandon
        self._needed = self._rise
        return (*abandon, self._become(Health.UP, reason, answers=self.passes, now=now))

    def _failed(self, reason: str, now: float) -> tuple[Command, ...]:
        self.passes = 0
        self.failures += 1
        if self.health is Health.DOWN:
            return self._abandon() + self._explain(reason)
        if self.failures >= self._fall:
            change = self._become(Health.DOWN, reason, answers=self.failures, now=now)
            return (*self._abandon(), change)
        if self._running == 0:
            self._retry_at = max(now, self._started + min(self._interval, FAST_RETRY))
        return ()

    def _become(self, health: Health, reason: str, *, answers: int, now: float) -> ChangeHealth:
        previous, self.health, self.reason, self.since = self.health, health, reason, now
        self._flaps.append(now)
        return ChangeHealth(previous, health, reason, answers, self.flaps(now=now))

    def _explain(self, reason: str) -> tuple[Command, ...]:
        if reason == self.reason:
            return ()
        self.reason = reason
        return (ChangeReason(reason),)

    def _abandon(self) -> tuple[Command, ...]:
        if self._running == 0:
            return ()
        self._running = 0
        return (AbandonProbes(),)

    def _next(self) -> float | None:
        if self._running == 0:
            return self._regular if self._retry_at is None else min(self._retry_at, self._regular)
        if self._running == 1 and self._overlap and self._may_fall():
            return self._started + self._patience
        return None

    def _may_fall(self) -> bool:
        """Whether a second failure beside the one that may be coming would tell anything new."""
        return self.health is Health.UP and self.failures + 1 < self._fall
