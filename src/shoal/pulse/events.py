"""What goes into the election machine and what comes out of it."""

from dataclasses import dataclass

from shoal.pulse.nouns import Heartbeat, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the election needs of the configuration. Durations are seconds.

    ``peers`` maps the name of every other router to its priority; ``paths`` are the paths' names. Each path
    has one tracked link.
    """

    name: str
    priority: int
    peers: tuple[tuple[str, int], ...]
    paths: tuple[str, ...]
    heartbeat_interval: float
    dead_time: float
    config_serial: int = 0
    config_digest: bytes = bytes(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """First event. ``holding``: a predecessor of this process left all floating addresses configured."""

    holding: bool
    links: tuple[tuple[str, bool], ...]
    dataplane_ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReceived:
    """A heartbeat of a peer that has proved to be alive; forged and replayed ones never get here."""

    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDue:
    """A peer said hello on a path, or proved itself just now: it waits for our heartbeat."""

    peer: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged:
    """The tracked link of a path went up or down."""

    path: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DataplaneChanged:
    """The dataplane (its pinned lease) appeared or is gone."""

    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressesRepaired:
    """Floating addresses were missing while we serve, and were put back."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineReached:
    """The deadline passed, and *after that* every socket was drained: only this event ends a peer's life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverRequested:
    """The operator wants another router to serve: ``to``, or the best one when that is empty."""

    id: int
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """The operator ends this router."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Woke:
    """This process did not run for ``gap`` seconds (stopped, starved, or its machine was paused)."""

    gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconfigured:
    """A new configuration is in force."""

    settings: Settings


Event = (
    Start
    | HeartbeatReceived
    | AnswerDue
    | LinkChanged
    | DataplaneChanged
    | AddressesRepaired
    | DeadlineReached
    | FailoverRequested
    | StopRequested
    | Woke
    | Reconfigured
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendHeartbeat:
    """Tell each of ``peers`` over each of ``paths``. ``answer``: to a hello, echo its session."""

    report: Report
    peers: tuple[str, ...]
    paths: tuple[str, ...]
    answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireAddresses:
    """Configure every floating address that is not there yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseAddresses:
    """Remove every floating address that we configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Send one gratuitous ARP for every floating address. ``refresh``: long after the last change."""

    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewLease:
    """Hold the lease until this time, on the clock of ``now``; None: the lease is not in use (no peers)."""

    until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginHandover:
    """Until this time forward also for connections that the other router has."""

    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A line for the journal."""

    event: str
    cause: str = ""
    fields: tuple[tuple[str, str | int | float | bool], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFailover:
    """Tell the operator whether the hand-over was begun."""

    id: int
    accepted: bool
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nothing is left to do; the process may end."""


Command = (
    SendHeartbeat
    | AcquireAddresses
    | ReleaseAddresses
    | Announce
    | RenewLease
    | BeginHandover
    | Record
    | AnswerFailover
    | Stop
)
