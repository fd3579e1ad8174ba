"""Rendezvous hashing: a choice that needs no memory. For packets for which the connection table has no place.

Every router finds the same server for a client's address and port, at any time, and one that comes or goes moves only
its own share. Highest random weight: Thaler and Ravishankar, 1998; with weights: Schindelhauer and Schomaker, 2005.
"""

from collections.abc import Sequence

from shoal.model import Address
from shoal.schedulers.base import Load, Request
from shoal.schedulers.hashing import MASK_32, folded

_MASK_64 = (1 << 64) - 1
_FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
_BEND = 22708
"""0.3465 in 16 bits: how far the logarithm's parabola bends between two powers of two."""


def choose(loads: Sequence[Load], request: Request) -> int | None:
    """The index of the server with the lowest cost for its weight; the first of equals. None: nobody takes new ones."""
    client = _mixed((folded(request.client) << 32 | request.client_port << 16) * _FIRST & _MASK_64)
    best: tuple[int, int, int] | None = None
    for index, load in enumerate(loads):
        if not load.available or not load.weight:
            continue
        cost = _cost(_hash(client, load.address, load.port))
        if best is None or cost * best[1] < best[0] * load.weight:
            best = cost, load.weight, index
    return None if best is None else best[2]


def _mixed(value: int) -> int:
    return value ^ value >> 32


def _hash(client: int, address: Address, port: int) -> int:
    """32 bits. An IPv4 address is folded as it is mapped into IPv6."""
    fold = folded(address) ^ (0xFFFF if address.version == 4 else 0)
    value = _mixed((client ^ fold << 16 ^ port) * _SECOND & _MASK_64)
    return (value * _FIRST & _MASK_64) >> 32


def _cost(number: int) -> int:
    """-log2(number / 2^32) in 16 bits of fraction, within 1 %."""
    number |= 1
    whole = number.bit_length() - 1
    rest = (number << (31 - whole) & MASK_32 >> 1) >> 15
    rest += (rest * (65536 - rest) >> 16) * _BEND >> 16
    return (32 << 16) - (whole << 16) - rest
