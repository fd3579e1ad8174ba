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
_PORT = slice(16, 18)
_ANY_PORT = bytes(2)


def _keeping_ports(
    members: Iterable[tuple[bytes, bytes]], listeners: Iterable[bytes]
) -> set[tuple[bytes, bytes]]:
    """The claims of endpoints without a port: they have the listener's, which for a range is 0."""
    return {
        (endpoint[: _PORT.start] + listener[_PORT.start :], listener[:_KEYS_PROTOCOL] + tail)
        for listener in listeners
        for endpoint, tail in members
    }


class Reverses:
    """The map, and who claims which of its keys."""

    def __init__(self, reverses: Dictionary) -> None:
        self._map = reverses
        keys, values = reverses.raw()
        self._found = {
            keys[_KEY_SIZE * i : _KEY_SIZE * (i + 1)]: values[_VALUE_SIZE * i : _VALUE_SIZE * (i + 1)]
            for i in range(len(keys) // _KEY_SIZE)
        }
        self._claims: dict[int, set[tuple[bytes, bytes]]] = {}  # a service's: key and value
        self._single: dict[bytes, bytes] = {}  # what the map should hold
        self._shared: dict[bytes, set[bytes]] = {}  # what several want, and so none gets
        self._pending: dict[bytes, bytes | None] = dict.fromkeys(self._found)  # None: to be deleted

    def claim(self, service: int, endpoints: Iterable[tuple[bytes, int]], listeners: Iterable[bytes]) -> None:
        """Replace what a service claims: each endpoint (with its destination's number) for each listener.

        A range of ports is a listener with port 0; only endpoints that keep the packets' port can serve it.
        """
        listeners = list(listeners)
        members = [(endpoint, bytes(2) + number.to_bytes(4, "little")) for endpoint, number in endpoints]
        kept = [each for each in members if each[0].endswith(_ANY_PORT)]
        if kept:
            members = [each for each in members if not each[0].endswith(_ANY_PORT)]
        new = {
            (endpoint + listener[_KEYS_PROTOCOL:], listener[:_KEYS_PROTOCOL] + tail)
            for listener in listeners
            if listener[_PORT] != _ANY_PORT
            for endpoint, tail in members
        }
        if kept:
            new |= _keeping_ports(kept, listeners)
        old = self._claims.pop(service, set())
        if new:
            self._claims[service] = new
        for key, value in old - new:
            self._withdraw(key, value)
        self._take(new - old if old else new)

    def _take(self, new: set[tuple[bytes, bytes]]) -> None:
        wanted = dict(new)
        if len(wanted) == len(new) and wanted.keys().isdisjoint(self._single.keys()) and not self._shared:
            self._single.update(wanted)  # nobody shares anything: the usual case, and much quicker
            self._pending.update(wanted)
            return
        for key, value in new:
            if key in self._shared:
                self._shared[key].add(value)
            elif (other := self._single.get(key)) is None:
                self._single[key] = self._pending[key] = value
            else:
                self._shared[key] = {other, value}
                del self._single[key]
                self._pending[key] = None

    def _withdraw(self, key: bytes, value: bytes) -> None:
        values = self._shared.get(key)
        if values is None:
            del self._single[key]
            self._pending[key] = None
            return
        values.discard(value)
        if len(values) == 1:
            del self._shared[key]
            self._single[key] = self._pending[key] = values.pop()

    def write(self) -> None:
        """Bring the map to what is claimed. Raises KernelError when it is full."""
        for key, value in self._pending.items():
            if value is None:
                self._map.delete(key)
                self._found.pop(key, None)
        self._map.put_all(
            [
                (key, value)
                for key, value in self._pending.items()
                if value is not None and self._found.get(key) != value
            ]
        )
        self._pending.clear()
        self._found.clear()
