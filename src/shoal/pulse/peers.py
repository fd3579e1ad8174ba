"""What this router knows of its peers: which paths are alive, and each peer's latest report."""

from collections.abc import Iterable, Iterator

from shoal.pulse.events import Record
from shoal.pulse.nouns import Flag, Heartbeat, Report


class Peer:
    """One other router. A path is alive from a heartbeat until ``expire`` finds it silent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.report: Report | None = None
        self._session = 0
        self._stamp_ns = 0
        self._heard: dict[str, float] = {}

    @property
    def alive(self) -> bool:
        """Whether any path is alive."""
        return bool(self._heard)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that are alive."""
        return tuple(sorted(self._heard))

    def hear(self, heartbeat: Heartbeat, now: float) -> tuple[bool, list[Record]]:
        """Take in a heartbeat.

        Whether its report is newer than the one known (paths may differ in delay), and what the journal
        should know.
        """
        records = self._records_of_hearing(heartbeat)
        self._heard[heartbeat.path] = now
        if heartbeat.session == self._session and heartbeat.stamp_ns <= self._stamp_ns:
            return False, records
        self._session, self._stamp_ns = heartbeat.session, heartbeat.stamp_ns
        self.report = heartbeat.report
        return True, records

    def _records_of_hearing(self, heartbeat: Heartbeat) -> list[Record]:
        fields = (("peer", self.name), ("path", heartbeat.path), ("state", str(heartbeat.report.state)))
        if not self.alive:
            return [Record(event="peer.heard", cause=f"over {heartbeat.path}", fields=fields)]
        if heartbeat.path not in self._heard:
            return [Record(event="path.heard", cause="heartbeats arrive on it", fields=fields)]
        return []

    def expire(self, now: float, dead_time: float) -> list[Record]:
        """Forget paths that were silent for the dead time; what the journal should know."""
        silent = [path for path, at in sorted(self._heard.items()) if now >= at + dead_time]
        for path in silent:
            del self._heard[path]
        if self.alive or not silent:
            cause = f"silent for {dead_time:g} s"
            fields = (("peer", self.name),)
            return [
                Record(event="path.lost", cause=cause, fields=(*fields, ("path", path))) for path in silent
            ]
        stopped = self.report is not None and self.report.says(Flag.STOPPING)
        cause = "it stopped" if stopped else f"silent on all paths for {dead_time:g} s"
        return [Record(event="peer.lost", cause=cause, fields=(("peer", self.name),))]

    def pardon(self, now: float) -> None:
        """Start the dead time of every living path anew: it was we who did not listen."""
        self._heard = dict.fromkeys(self._heard, now)

    def keep_paths(self, paths: Iterable[str]) -> None:
        """Forget paths that are no longer configured."""
        self._heard = {path: at for path, at in self._heard.items() if path in paths}

    def oldest(self) -> float | None:
        """When the living path that was silent longest was last heard."""
        return min(self._heard.values(), default=None)


class Peers:
    """All other routers."""

    def __init__(self, names: Iterable[str]) -> None:
        self._peers = {name: Peer(name) for name in names}

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __bool__(self) -> bool:
        return bool(self._peers)

    def get(self, name: str) -> Peer | None:
        """The peer of that name."""
        return self._peers.get(name)

    def keep(self, names: Iterable[str]) -> None:
        """Know exactly these peers from now on, and keep what is known of them."""
        self._peers = {name: self._peers.get(name) or Peer(name) for name in names}

    def living(self) -> Iterator[tuple[str, Report]]:
        """Name and report of every peer that is alive."""
        for peer in self:
            if peer.alive and peer.report is not None:
                yield peer.name, peer.report

    def able(self) -> Iterator[tuple[str, Report]]:
        """Those of them that could serve."""
        return ((name, report) for name, report in self.living() if report.says(Flag.READY))

    @property
    def all_alive(self) -> bool:
        """Whether every configured peer is alive."""
        return all(peer.alive for peer in self)

    def deadline(self, dead_time: float) -> float | None:
        """When the next path would be silent for the dead time."""
        return min((at + dead_time for peer in self if (at := peer.oldest()) is not None), default=None)
