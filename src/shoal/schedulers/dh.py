"""Destination hashing (ip_vs_dh.c)."""

from collections.abc import Sequence
from typing import ClassVar

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, Table, register
from shoal.schedulers.hashing import folded, hash_32

TABLE_BITS = 8


def table(loads: Sequence[Load]) -> tuple[int, ...]:
    """256 buckets, filled with the destinations in turn. Weights do not matter."""
    return tuple(bucket % len(loads) for bucket in range(1 << TABLE_BITS)) if loads else ()


@register
class DestinationHashing(Scheduler):
    """What is sent to one virtual address always goes to the same destination; for clusters of caches."""

    name = "dh"
    table: ClassVar[Table | None] = staticmethod(table)

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index in the virtual address's bucket; None when that is not a candidate."""
        if not loads:
            return None
        index = table(loads)[hash_32(folded(request.virtual_address), TABLE_BITS)]
        return index if loads[index].share > 0 else None
