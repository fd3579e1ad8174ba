"""An election in a known state, for tests of single events."""

from shoal.model import RouterState
from shoal.pulse import events
from shoal.pulse.election import Election
from shoal.pulse.events import Command, Record, Settings
from shoal.pulse.nouns import Flag, Heartbeat, Report

LINKS = (("private", True), ("public", True))
INIT, BACKUP, ACTIVE, FAULT = RouterState.INIT, RouterState.BACKUP, RouterState.ACTIVE, RouterState.FAULT


def settings(*peers: tuple[str, int], priority: int = 100) -> Settings:
    """Of router ``a``."""
    return Settings(
        name="a",
        priority=priority,
        peers=peers,
        paths=("public", "private"),
        heartbeat_interval=0.1,
        dead_time=0.3,
    )


def started(
    *peers: tuple[str, int], ready: bool = True, holding: bool = False
) -> tuple[Election, tuple[Command, ...]]:
    """Router ``a``, started at time 0, and its first commands."""
    election = Election(settings(*peers))
    start = events.Start(holding=holding, links=LINKS, dataplane_ready=ready)
    return election, election.handle(start, now=0.0)


class Voices:
    """Makes the heartbeats of peers."""

    def __init__(self) -> None:
        self.sequence = 0

    def say(
        self,
        state: RouterState,
        *,
        sender: str = "b",
        epoch: int = 1,
        flags: Flag = Flag.READY,
        links: tuple[bool, ...] = (True, True),
        path: str = "public",
        priority: int = 50,
    ) -> events.HeartbeatReceived:
        self.sequence += 1
        report = Report(state=state, flags=flags, priority=priority, epoch=epoch, links=links)
        return events.HeartbeatReceived(
            heartbeat=Heartbeat(
                sender=sender,
                session=1,
                echo=1,
                sequence=self.sequence,
                path=path,
                stamp_ns=self.sequence,
                loss=0,
                report=report,
            )
        )


def kinds(commands: tuple[Command, ...]) -> list[str]:
    """Names of the commands; records by their event."""
    return [c.event if isinstance(c, Record) else type(c).__name__ for c in commands]


def active() -> tuple[Election, Voices]:
    """Router ``a`` serves with epoch 1, ``b`` is its living backup."""
    election, _ = started(("b", 50))
    voices = Voices()
    election.handle(voices.say(INIT, epoch=0), now=0.01)
    assert election.state is ACTIVE
    election.handle(voices.say(BACKUP), now=0.02)
    return election, voices


def backup() -> tuple[Election, Voices]:
    """Router ``a`` follows ``b``, which serves with epoch 5."""
    election, _ = started(("b", 50))
    voices = Voices()
    election.handle(voices.say(ACTIVE, epoch=5), now=0.01)
    assert election.state is BACKUP
    return election, voices
