"""Maglev hashing (ip_vs_mh.c; Eisenbud and others, "Maglev", NSDI 2016, 3.4)."""

import math
from collections.abc import Sequence
from typing import ClassVar

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, Table, register
from shoal.schedulers.hashing import MASK_32, endpoint_sum, siphash13

TABLE_SIZE = 4093  # prime; the kernel's default of CONFIG_IP_VS_MH_TAB_INDEX
KEY_1 = 2654435761  # generate_hash_secret()
KEY_2 = 2654446892
_WEIGHT_BITS = 6  # IP_VS_MH_TAB_BITS: turns never need more bits than this


def hsiphash(value: int, key: int) -> int:
    """The kernel's hsiphash() of four bytes, on a 64-bit machine: 32 bits."""
    return siphash13(value, key) & MASK_32


def turns(weights: Sequence[int]) -> list[int]:
    """How many buckets in a row each destination takes: its weight / gcd, shifted to at most 6 bits."""
    divisor = math.gcd(*weights) or 1
    shift = max(0, (max(weights, default=0) // divisor).bit_length() - _WEIGHT_BITS)
    return [max(weight // divisor >> shift, 1) if weight else 0 for weight in weights]


def table(loads: Sequence[Load]) -> tuple[int, ...]:
    """4093 buckets. Health does not matter; a weight of 0 has none, so its clients move at once.

    The kernel instead remembers the last weight that was not 0; a table here follows from the configuration
    alone, so that all routers have the same one.
    """
    parts = turns([load.weight for load in loads])
    if not any(parts):
        return ()
    keys = [endpoint_sum(load.address, load.port) for load in loads]
    place = [hsiphash(key, KEY_1) % TABLE_SIZE for key in keys]
    skip = [hsiphash(key, KEY_2) % (TABLE_SIZE - 1) + 1 for key in keys]
    buckets = [-1] * TABLE_SIZE
    empty = TABLE_SIZE
    while True:
        for index, part in enumerate(parts):
            for _ in range(part):
                while buckets[place[index]] >= 0:
                    place[index] = (place[index] + skip[index]) % TABLE_SIZE
                buckets[place[index]] = index
                empty -= 1
                if not empty:
                    return tuple(buckets)


@register
class MaglevHashing(Scheduler):
    """As sh, but few clients move when the list of destinations changes.

    Flags: ``mh-port`` hashes the client's port too; with ``mh-fallback`` further buckets are tried when the
    destination is not a candidate, otherwise the connection is refused.
    """

    name = "mh"
    known_flags = ("mh-fallback", "mh-port")
    table: ClassVar[Table | None] = staticmethod(table)

    def __init__(self, *, flags: Sequence[str] = ()) -> None:
        super().__init__(flags=flags)
        self._of: tuple[tuple[int, int], ...] | None = None
        self._buckets: tuple[int, ...] = ()

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index in the client's bucket; None when that is not a candidate (nor any other, if asked)."""
        buckets = self._table(loads)
        if not buckets:
            return None
        port = request.client_port if "mh-port" in self.flags else 0

        def bucket(offset: int) -> int:
            return hsiphash(endpoint_sum(request.client, port, offset=offset), KEY_1) % TABLE_SIZE

        home = bucket(0)
        if loads[buckets[home]].share > 0:
            return buckets[home]
        if "mh-fallback" not in self.flags:
            return None
        tries = (bucket((home + turn) % TABLE_SIZE) for turn in range(TABLE_SIZE))
        return next((buckets[each] for each in tries if loads[buckets[each]].share > 0), None)

    def _table(self, loads: Sequence[Load]) -> tuple[int, ...]:
        """The table, worked out anew when a weight or an endpoint changes."""
        meaning = tuple((load.weight, endpoint_sum(load.address, load.port)) for load in loads)
        if meaning != self._of:
            self._of, self._buckets = meaning, table(loads)
        return self._buckets
