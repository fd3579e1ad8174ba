"""The access lists of services: the map "access", keyed by the number of a service's configuration.

A new configuration's entries are written before any packet is told of it, and those of the old one are taken away
when no packet looks at it any more.
"""

import struct
from collections import deque
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network

from shoal.dataplane.ebpf.addresses import packed
from shoal.dataplane.ebpf.numbers import REST
from shoal.dataplane.ebpf.tables import Dictionary
from shoal.errors import ShoalError
from shoal.model import Admission, Network, network_order

_KEY = struct.Struct("=III16s")
_HEAD = 64  # bits before the address
_MAPPED = 96  # bits before an IPv4 address within one of IPv6
_ALLOWED, _DENIED = (1).to_bytes(4, "little"), bytes(4)

Lists = tuple[tuple[Network, ...], tuple[Network, ...]]
"""Allow and deny, both sorted."""

NO_LISTS: Lists = ((), ())


def _key(config: int, network: Network) -> bytes:
    length = network.prefixlen + (_MAPPED if network.version == 4 else 0)
    return _KEY.pack(_HEAD + length, config, network.version, packed(network.network_address))


def _network(length: int, version: int, address: bytes) -> Network:
    if version == 4:
        return IPv4Network((address[12:], length - _HEAD - _MAPPED))
    return IPv6Network((address, length - _HEAD))


class AccessLists:
    """The map, and what of it rests before it is deleted."""

    def __init__(self, access: Dictionary) -> None:
        self._map = access
        self._keys: dict[int, list[bytes]] = {}
        self._resting: deque[tuple[float, list[bytes]]] = deque()
        self._raw = (b"", b"")
        self._lists: dict[int, Lists] = {}

    def adopt(self, configs: Collection[int]) -> None:
        """Learn what a predecessor left for these configurations, and delete what it left for others."""
        keys, _ = self._map.raw()
        for position in range(0, len(keys), _KEY.size):
            key = keys[position : position + _KEY.size]
            config = _KEY.unpack(key)[1]
            if config in configs:
                self._keys.setdefault(config, []).append(key)
            else:
                self._map.delete(key)

    def write(self, config: int, admission: Admission) -> None:
        """Write a new configuration's entries. Raises KernelError when the map is full; then none is left."""
        entries = [(_key(config, each), _ALLOWED) for each in admission.allow]
        entries += [(_key(config, each), _DENIED) for each in admission.deny]
        keys = [key for key, _ in entries]
        try:
            for entry in entries:
                self._map.put(*entry)
        except ShoalError:
            for key in keys:
                self._map.delete(key)
            raise
        if keys:
            self._keys[config] = keys

    def release(self, config: int, now: float) -> None:
        """A configuration is no longer pointed to; its entries go after a rest."""
        if keys := self._keys.pop(config, None):
            self._resting.append((now + REST, keys))

    def purge(self, now: float) -> None:
        """Delete what has rested."""
        while self._resting and self._resting[0][0] <= now:
            for key in self._resting.popleft()[1]:
                self._map.delete(key)

    def read(self) -> dict[int, Lists]:
        """The lists in the map, by configuration."""
        raw = keys, values = self._map.raw()
        if raw != self._raw:
            found: dict[int, tuple[list[Network], list[Network]]] = {}
            allowed = memoryview(values).cast("I")
            for position, (length, config, version, address) in enumerate(_KEY.iter_unpack(keys)):
                lists = found.setdefault(config, ([], []))
                lists[0 if allowed[position] else 1].append(_network(length, version, address))
            self._lists = {
                config: (tuple(sorted(allow, key=network_order)), tuple(sorted(deny, key=network_order)))
                for config, (allow, deny) in found.items()
            }
            self._raw = raw
        return self._lists
