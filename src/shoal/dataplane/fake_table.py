"""The connection table of the dataplane in memory."""

from collections import Counter
from collections.abc import Callable, Mapping

from shoal.dataplane.fake_entries import Client, Endpoint, Entry
from shoal.dataplane.fake_local import LocalPorts
from shoal.model import ForwardingMethod
from shoal.model.states import HALF_OPEN_STATES


class ConnectionTable:
    """Entries by their client, at most ``limits`` of each family. ``ended`` is told of each that goes."""

    def __init__(self, limits: Mapping[int, int], *, ended: Callable[[Entry], None]) -> None:
        self.limits = limits
        self.held = Counter[int]()  # by family
        self.held_by = Counter[str]()  # by service
        self.local_ports = LocalPorts()
        self._ended = ended
        self._by_client: dict[Client, list[Entry]] = {}

    def entries(self) -> list[Entry]:
        """All of them, expired ones too."""
        return [entry for entries in self._by_client.values() for entry in entries]

    def find(
        self, client: Client, *, now: float, virtual: Endpoint | None = None, real: Endpoint | None = None
    ) -> Entry | None:
        """The live connection of a client or local end to a virtual or from a real endpoint; an expired one goes.

        A real server under direct routing answers in the virtual address's own name, so never from its endpoint.
        """
        for entry in list(self._by_client.get(client, ())):
            if entry.deadline <= now:
                self.forget(entry)
            elif virtual == entry.virtual or (real == entry.real and entry.method is ForwardingMethod.NAT):
                return entry
        return None if real is None else self.local_ports.owner(client, real=real, now=now)

    def remember(self, entry: Entry) -> None:
        """Take an entry in; there is room."""
        self._by_client.setdefault(entry.key, []).append(entry)
        self.held[entry.family] += 1
        self.held_by[entry.service] += 1

    def forget(self, entry: Entry) -> None:
        """Let an entry go, and its local port."""
        entries = self._by_client[entry.key]
        entries.remove(entry)
        if not entries:
            del self._by_client[entry.key]
        self.held[entry.family] -= 1
        self.held_by[entry.service] -= 1
        self.local_ports.release(entry)
        self._ended(entry)

    def sweep(self, *, now: float) -> int:
        """Let every expired entry go; how many."""
        expired = [entry for entry in self.entries() if entry.deadline <= now]
        for entry in expired:
            self.forget(entry)
        return len(expired)

    def make_room(self, family: int, *, now: float) -> bool:
        """Whether its family has room for one more; if need be the oldest half-open connection gives way."""
        if self.held[family] == self.limits[family]:
            self.sweep(now=now)
        if self.held[family] < self.limits[family]:
            return True
        ours = (entry for entry in self.entries() if entry.family == family)
        half_open = [entry for entry in ours if entry.state in HALF_OPEN_STATES]
        if not half_open:
            return False
        self.forget(min(half_open, key=lambda entry: entry.born))
        return True

    def clear(self) -> None:
        """Forget everything, and tell nobody."""
        self._by_client.clear()
        self.held.clear()
        self.held_by.clear()
        self.local_ports.clear()
