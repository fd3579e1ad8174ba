"""When this router sends heartbeats, and to whom it says what."""

from collections.abc import Iterable, Iterator

from shoal.pulse.events import SendHeartbeat, Settings
from shoal.pulse.nouns import Flag, Report

LOSS_ALARM = 20  # percent of our heartbeats lost on a peer's best path from which we send faster
HURRY = 10  # how many times faster
HURRY_DEAD_TIMES = 10  # for how many dead times after the last such complaint


class Voice:
    """Makes the heartbeats. ``heir`` is the peer that is asked to take over, and it alone hears ``RESIGN``.

    ``next_tick`` is when the next regular heartbeat is due.
    """

    def __init__(self) -> None:
        self.heir = ""
        self.next_tick = 0.0
        self._hurry_until = 0.0
        self._told: Report | None = None

    def name_heir(self, heir: str) -> None:
        """Ask this peer from now on, beginning with the next heartbeat, which becomes due at once."""
        self.heir, self._told = heir, None

    def has_told(self, report: Report) -> bool:
        """Whether exactly this was said to everybody last."""
        return report == self._told

    def tell_all(
        self, report: Report, *, peers: Iterable[str], paths: tuple[str, ...]
    ) -> Iterator[SendHeartbeat]:
        """The heartbeats that tell every peer, over every path whose link is up."""
        self._told = report
        others = tuple(peer for peer in peers if peer != self.heir)
        if paths and others:
            yield SendHeartbeat(report=report, peers=others, paths=paths)
        if paths and self.heir:
            yield SendHeartbeat(report=report.with_flag(Flag.RESIGN), peers=(self.heir,), paths=paths)

    def tell(
        self, report: Report, *, peer: str, paths: tuple[str, ...], answer: bool = False
    ) -> SendHeartbeat:
        """The heartbeat for one peer."""
        said = report.with_flag(Flag.RESIGN) if peer == self.heir else report
        return SendHeartbeat(report=said, peers=(peer,), paths=paths, answer=answer)

    def note_loss(self, loss: int, *, now: float, settings: Settings) -> None:
        """A peer says how many percent of our heartbeats it misses."""
        if loss >= LOSS_ALARM:
            self._hurry_until = now + HURRY_DEAD_TIMES * settings.dead_time

    def schedule(self, *, now: float, interval: float, all_alive: bool) -> None:
        """Set the next tick: sooner to find a silent peer, much sooner while many heartbeats get lost."""
        if now < self._hurry_until:
            interval /= HURRY
        elif not all_alive:
            interval /= 2
        self.next_tick = max(self.next_tick + interval, now + interval / 2)
