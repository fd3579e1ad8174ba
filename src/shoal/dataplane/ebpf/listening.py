"""What services listen to as it stands in the maps: single ports, ranges of them, and firewall marks."""

import struct

from shoal.dataplane.ebpf.abi import ffi
from shoal.dataplane.ebpf.addresses import (
    PROTOCOL_NUMBERS,
    PROTOCOLS,
    address_of,
    listener_key,
    listener_of,
    packed,
)
from shoal.dataplane.ebpf.objects import Loaded
from shoal.model import Listener

Claim = Listener | int
"""A listener, or a firewall mark as its number."""

_KEY_SIZE = ffi.sizeof("struct listener_key")
_RANGE_KEY = struct.Struct("=I16sBx2s")
_RANGE = struct.Struct("=IHH")
_WHOLE = 8 * (_RANGE_KEY.size - 4)  # bits of a key for a single port
_PORT_BITS = 16


def prefixes(first: int, last: int) -> list[tuple[int, int]]:
    """The ports from first to last as prefixes: (first port, how many bits of it count), at most 30."""
    found = []
    while first <= last:
        size = first & -first or 1 << _PORT_BITS
        while size > last - first + 1:
            size >>= 1
        found.append((first, _PORT_BITS - size.bit_length() + 1))
        first += size
    return found


def _range_keys(listener: Listener) -> list[bytes]:
    """The keys of ``listener_ranges`` that make up a range."""
    address, protocol = packed(listener.address), PROTOCOL_NUMBERS[listener.protocol]
    return [
        _RANGE_KEY.pack(_WHOLE - _PORT_BITS + bits, address, protocol, port.to_bytes(2, "big"))
        for port, bits in prefixes(listener.port, listener.last_port)
    ]


def show_claim(claim: Claim) -> str:
    """As the configuration writes it."""
    return f"fwmark:{claim}" if isinstance(claim, int) else str(claim)


def listeners_in(claims: tuple[Claim, ...]) -> tuple[Listener, ...]:
    """The listeners among claims."""
    return tuple(each for each in claims if not isinstance(each, int))


def marks_in(claims: tuple[Claim, ...]) -> tuple[int, ...]:
    """The marks among claims."""
    return tuple(each for each in claims if isinstance(each, int))


class Listening:
    """The maps ``listeners``, ``listener_ranges`` and ``marks``."""

    def __init__(self, loaded: Loaded) -> None:
        self._exact = loaded.dictionary("listeners")
        self._ranges = loaded.dictionary("listener_ranges")
        self._marks = loaded.dictionary("marks")
        self._raw: tuple[tuple[bytes, bytes], ...] = ()
        self._claims: dict[int, tuple[Claim, ...]] = {}

    def put(self, claim: Claim, service: int) -> None:
        """Let a claim lead to a service."""
        if isinstance(claim, int):
            self._marks.put(claim.to_bytes(4, "little"), service.to_bytes(4, "little"))
        elif not claim.is_range:
            self._exact.put(listener_key(claim), service.to_bytes(4, "little"))
        else:
            value = _RANGE.pack(service, claim.port, claim.last_port)
            for key in _range_keys(claim):
                self._ranges.put(key, value)

    def delete(self, claim: Claim, service: int) -> None:
        """Take a claim away; a part of a range that another has taken over stays."""
        if isinstance(claim, int):
            self._marks.delete(claim.to_bytes(4, "little"))
        elif not claim.is_range:
            self._exact.delete(listener_key(claim))
        else:
            ours = service, claim.port, claim.last_port
            for key in _range_keys(claim):
                found = self._ranges.get(key)
                if found is not None and (found.service, found.first, found.last) == ours:
                    self._ranges.delete(key)

    def read(self) -> dict[int, tuple[Claim, ...]]:
        """The claims in the maps by service number: listeners, sorted, then marks, sorted."""
        raw = self._exact.raw(), self._ranges.raw(), self._marks.raw()
        if raw != self._raw:
            listeners: dict[int, set[Listener]] = {}
            for number, listener in (*_exact_in(*raw[0]), *_ranges_in(*raw[1])):
                listeners.setdefault(number, set()).add(listener)
            marks: dict[int, list[int]] = {}
            for mark, number in zip(_numbers(raw[2][0]), _numbers(raw[2][1]), strict=True):
                marks.setdefault(number, []).append(mark)
            self._claims = {
                number: (*sorted(listeners.get(number, ())), *sorted(marks.get(number, ())))
                for number in listeners.keys() | marks.keys()
            }
            self._raw = raw
        return self._claims


def _numbers(content: bytes) -> list[int]:
    return list(memoryview(content).cast("I"))


def _exact_in(keys: bytes, values: bytes) -> list[tuple[int, Listener]]:
    return [
        (number, listener_of(keys[_KEY_SIZE * position : _KEY_SIZE * (position + 1)]))
        for position, number in enumerate(_numbers(values))
    ]


def _ranges_in(keys: bytes, values: bytes) -> list[tuple[int, Listener]]:
    """The range of every prefix: most of them several times."""
    return [
        (
            number,
            Listener(address=address_of(address), port=first, protocol=PROTOCOLS[protocol], last_port=last),
        )
        for (_, address, protocol, _), (number, first, last) in zip(
            _RANGE_KEY.iter_unpack(keys), _RANGE.iter_unpack(values), strict=True
        )
    ]
