"""The fake dataplane's local ports: what fullnat connections are called towards their real servers. Pure."""

from collections.abc import Iterator

from shoal.dataplane.fake_entries import Client, Endpoint, Entry
from shoal.model import LocalPool, Protocol

_Key = tuple[Protocol, Endpoint, Endpoint]


class LocalPorts:
    """Which are held. A port is one connection's towards one real server, and may be another's towards another."""

    def __init__(self) -> None:
        self.pool = LocalPool(addresses=(), ports=range(0))
        self._owners: dict[_Key, Entry] = {}

    @property
    def held(self) -> int:
        """How many connections hold one."""
        return len(self._owners)

    def take(self, entry: Entry) -> bool:
        """Give a connection a local end. False when each is taken towards its real server."""
        free = (
            each for each in self._candidates(entry) if (entry.protocol, each, entry.real) not in self._owners
        )
        entry.local = next(free, None)
        if entry.local is None:
            return False
        self._owners[entry.protocol, entry.local, entry.real] = entry
        return True

    def _candidates(self, entry: Entry) -> Iterator[Endpoint]:
        """Every end of the pool; where the search begins depends on the client."""
        addresses, ports = self.pool.of_family(entry.family), self.pool.ports
        total, first = len(addresses) * len(ports), int(entry.client[0]) + entry.client[1]
        for turn in range(total):
            number = (first + turn) % total
            yield addresses[number % len(addresses)], ports[number // len(addresses)]

    def owner(self, local: Client, *, real: Endpoint, now: float) -> Entry | None:
        """The live connection whose replies go from that real server to that local end."""
        protocol, address, port = local
        entry = self._owners.get((protocol, (address, port), real))
        return entry if entry is not None and entry.deadline > now else None

    def release(self, entry: Entry) -> None:
        """A connection is over."""
        if entry.local is not None:
            del self._owners[entry.protocol, entry.local, entry.real]

    def clear(self) -> None:
        """Everything is over."""
        self._owners.clear()
