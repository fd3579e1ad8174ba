"""What routers tell each other: the nouns that the pure parts of pulse share."""

from dataclasses import dataclass, replace
from enum import IntFlag

from shoal.model import RouterState


class Flag(IntFlag):
    """What a router says about itself beyond its state. The values are those on the wire."""

    RESIGN = 1  # the receiver shall take over now
    STOPPING = 2  # the sender is ending on purpose
    CLAIM = 4  # the sender became active less than one dead time ago
    HOLDING = 8  # the floating addresses are configured on the sender
    FOLLOWING = 16  # the sender hears an active router
    READY = 32  # the sender could serve: its dataplane is there, a link is up, it is not stopping


Rank = tuple[int, bool, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A router's view of itself, the same in every heartbeat of one moment.

    ``epoch`` is the one an active router owns, the one of the active router that another one follows, or else
    the highest ever heard. ``links`` has one entry per tracked link, in the order of the paths' names.
    """

    state: RouterState
    flags: Flag
    priority: int
    epoch: int
    links: tuple[bool, ...]
    config_serial: int = 0
    config_digest: bytes = bytes(16)
    sync_lag_ms: int = 0

    @property
    def fitness(self) -> int:
        """0 when every tracked link is up, one less for each that is down."""
        return -self.links.count(False)

    def says(self, flag: Flag) -> bool:
        """Whether the flag is set."""
        return flag in self.flags

    def with_flag(self, flag: Flag) -> "Report":
        """The same report with one flag more."""
        return replace(self, flags=self.flags | flag)

    def rank(self, name: str) -> Rank:
        """Greater is the better router to serve. Never equal for two names."""
        return self.fitness, self.says(Flag.HOLDING), self.priority, name


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One heartbeat, as its sender meant it.

    ``session`` is the sender's random number of this start; ``echo`` the receiver's session as the sender
    last proved it, 0 when unknown. ``sequence`` counts per receiver and path, from 1. ``stamp_ns`` is the
    sender's CLOCK_BOOTTIME: it orders the reports of one session across paths. ``loss`` is the percentage of
    the receiver's recent heartbeats that the sender missed on its best path.
    """

    sender: str
    session: int
    echo: int
    sequence: int
    path: str
    stamp_ns: int
    loss: int
    report: Report
