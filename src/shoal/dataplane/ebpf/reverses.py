"""What real servers are called outside, for replies around a hand-over: the map "reverses", kept by differences.

A real server's endpoint that serves exactly one listener of a protocol stands for it. One that serves several stands
for none, and one under direct routing does not either: it answers in the virtual address's own name.
"""

from collections.abc import Iterable

from shoal.dataplane.ebpf.addresses import ENDPOINT_SIZE
from shoal.dataplane.ebpf.tables import Dictionary

_KEY_SIZE = 20
_VALUE_SIZE = 24
_KEYS_PROTOCOL = ENDPOINT_SIZE  # where the bytes of a listener's key go on after address and port


class Reverses:
    """The map, and who claims which of its keys."""

    def __init__(self, reverses: Dictionary) -> None:
        self._map = reverses
        keys, values = reverses.raw()
        self._present = {
            keys[_KEY_SIZE * i : _KEY_SIZE * (i + 1)]: values[_VALUE_SIZE * i : _VALUE_SIZE * (i + 1)]
            for i in range(len(keys) // _KEY_SIZE)
        }
        self._claims: dict[int, set[tuple[bytes, bytes]]] = {}  # a service's: key and value
        self._claimed: dict[bytes, tuple[bytes, ...]] = {}
        self._touched = set(self._present)

    def claim(self, service: int, endpoints: Iterable[tuple[bytes, int]], listeners: Iterable[bytes]) -> None:
        """Replace what a service claims: each endpoint (with its destination's number) for each listener."""
        members = [(endpoint, bytes(2) + number.to_bytes(4, "little")) for endpoint, number in endpoints]
        new = {
            (endpoint + listener[_KEYS_PROTOCOL:], listener[:_KEYS_PROTOCOL] + tail)
            for listener in listeners
            for endpoint, tail in members
        }
        old = self._claims.pop(service, set())
        if new:
            self._claims[service] = new
        for key, value in old - new:
            self._claimed[key] = tuple(each for each in self._claimed[key] if each != value)
            self._touched.add(key)
        for key, value in new - old:
            self._claimed[key] = (*self._claimed.get(key, ()), value)
            self._touched.add(key)

    def write(self) -> None:
        """Bring the map to what is claimed. Raises KernelError when it is full."""
        wanted: list[tuple[bytes, bytes]] = []
        for key in self._touched:
            values = self._claimed.get(key, ())
            if len(values) == 1:
                if self._present.get(key) != values[0]:
                    wanted.append((key, values[0]))
                continue
            if not values:
                self._claimed.pop(key, None)
            if self._present.pop(key, None) is not None:
                self._map.delete(key)
        self._map.put_all(wanted)
        self._present.update(wanted)
        self._touched.clear()
