"""The outer headers of destinations under method tunnel, as they stand in the maps, and the router's own addresses.

A destination's encapsulation is one store of eight bytes, so no packet sees half of a change.
"""

import struct
import time
from collections.abc import Callable, Iterable, Sequence

from shoal.dataplane.base import Destination
from shoal.dataplane.ebpf.abi import ENCAPS, LIMITS, ffi
from shoal.dataplane.ebpf.addresses import address_of, packed
from shoal.dataplane.ebpf.objects import Loaded
from shoal.dataplane.ebpf.tables import row_format
from shoal.model import GUE_PORT, Address, Encapsulation

_NUMBERS = {encap: ENCAPS[f"SHOAL_{encap.name}"] for encap in Encapsulation}
_ENCAPS = {number: encap for encap, number in _NUMBERS.items()}
_FORM = struct.Struct("!HBBB3x")  # port, kind, family, overhead: see struct encapsulation
_ROW = row_format("struct encapsulation", ("source", "port", "kind", "overhead"))
_UNKNOWN = bytes(16)
_LONG_AGO = 1 << 16  # ticks: 18 minutes

Sources = Callable[[Sequence[Address]], dict[Address, Address]]
"""The router's own address towards each of these, where there is a route."""


class Tunnels:
    """The encapsulations of one loaded dataplane, by destination number."""

    def __init__(self, loaded: Loaded, sources: Sources) -> None:
        self._table = loaded.table("encapsulations")
        self._destinations = loaded.table("destinations")
        self._sources = sources

    def put(self, tunnels: Iterable[tuple[int, Destination]]) -> None:
        """Write the encapsulations of these destinations, with their number each."""
        wanted = dict(tunnels)
        if not wanted:
            return
        for number, destination in wanted.items():
            kind, family = _NUMBERS[destination.encap], destination.address.version
            form = _FORM.pack(destination.outer_port, kind, family, destination.overhead)
            word = ffi.cast("__u64 *", ffi.addressof(self._table[number], "port"))
            if word[0] != int.from_bytes(form, "little"):
                word[0] = int.from_bytes(form, "little")
                self._forget_way(number)
        self._set_sources({number: each.address for number, each in wanted.items()})

    def read(self, number: int) -> tuple[Encapsulation, int]:
        """Encapsulation and UDP port of a destination; the port is the usual one where there is none."""
        _, port, kind, _ = self._table.row(number, _ROW)
        return _ENCAPS[kind], int.from_bytes(port.to_bytes(2, "little"), "big") or GUE_PORT

    def refresh(self) -> None:
        """Ask again for the outer source addresses: routes and addresses change."""
        rows = enumerate(self._table.rows("overhead"))
        numbers = [number for number, (used,) in rows if used and self._destinations[number].in_use]
        if numbers:
            content = {
                number: ffi.buffer(ffi.addressof(self._destinations[number].address)) for number in numbers
            }
            self._set_sources({number: address_of(bytes(each)) for number, each in content.items()})

    def _set_sources(self, addresses: dict[int, Address]) -> None:
        sources = self._sources(sorted(set(addresses.values()), key=lambda each: (each.version, int(each))))
        for number, address in addresses.items():
            source = sources.get(address)
            content = _UNKNOWN if source is None else packed(source)
            if self._table.row(number, _ROW)[0] != content:
                ffi.buffer(ffi.addressof(self._table[number].source))[:] = content
                self._forget_way(number)

    def _forget_way(self, number: int) -> None:
        """Have the programs ask the kernel again: what they remember is at its end long ago."""
        self._destinations[number].hop_tick = (
            time.monotonic_ns() >> LIMITS["SHOAL_TICK_SHIFT"]
        ) - _LONG_AGO & 0xFFFFFFFF
