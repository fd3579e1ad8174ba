"""What real servers are called outside, for replies around a hand-over: the map "reverses", kept by differences.

A real server's endpoint that serves exactly one listener of a protocol stands for it. One that serves several stands
for none, and one under direct routing does not either: it answers in the virtual address's own name.
"""

from collections.abc import Iterable

from shoal.dataplane.ebpf.addresses import reverse_key, reverse_value
from shoal.dataplane.ebpf.tables import Dictionary

Claims = frozenset[tuple[bytes, bytes, int]]
"""A service's: the bytes of a real server's endpoint, those of a listener's key, and the destination's number."""

_KEY_SIZE = 20
_VALUE_SIZE = 24


class Reverses:
    """The map, and who claims which of its keys."""

    def __init__(self, reverses: Dictionary) -> None:
        self._map = reverses
        keys, values = reverses.raw()
        self._present = {
            keys[_KEY_SIZE * i : _KEY_SIZE * (i + 1)]: values[_VALUE_SIZE * i : _VALUE_SIZE * (i + 1)]
            for i in range(len(keys) // _KEY_SIZE)
        }
        self._claims: dict[int, Claims] = {}
        self._claimants: dict[bytes, set[bytes]] = {}
        self._touched = set(self._present)

    def claim(self, service: int, endpoints: Iterable[tuple[bytes, int]], listeners: Iterable[bytes]) -> None:
        """Replace what a service claims: each endpoint (with its destination's number) for each listener."""
        outside = tuple(listeners)
        new = frozenset((endpoint, key, number) for endpoint, number in endpoints for key in outside)
        old = self._claims.pop(service, frozenset())
        if new:
            self._claims[service] = new
        for endpoint, listener, number in old - new:
            key = reverse_key(endpoint, listener)
            self._claimants[key].discard(reverse_value(listener, number))
            self._touched.add(key)
        for endpoint, listener, number in new - old:
            key = reverse_key(endpoint, listener)
            self._claimants.setdefault(key, set()).add(reverse_value(listener, number))
            self._touched.add(key)

    def write(self) -> None:
        """Bring the map to what is claimed. Raises KernelError when it is full."""
        wanted: list[tuple[bytes, bytes]] = []
        for key in self._touched:
            claimants = self._claimants.get(key, set())
            if len(claimants) == 1:
                (value,) = claimants
                if self._present.get(key) != value:
                    wanted.append((key, value))
                continue
            if not claimants:
                self._claimants.pop(key, None)
            if self._present.pop(key, None) is not None:
                self._map.delete(key)
        self._map.put_all(wanted)
        self._present.update(wanted)
        self._touched.clear()
