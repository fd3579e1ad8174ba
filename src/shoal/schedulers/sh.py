"""Source hashing (ip_vs_sh.c)."""

from collections.abc import Sequence
from typing import ClassVar

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, Table, register
from shoal.schedulers.hashing import endpoint_sum, hash_32

TABLE_BITS = 8
TABLE_SIZE = 1 << TABLE_BITS


def table(loads: Sequence[Load]) -> tuple[int, ...]:
    """256 buckets: each destination fills as many in a row as its weight says, and at least one; repeated.

    Its health does not matter, so that nobody else's clients move while it is down.
    """
    buckets: list[int] = []
    while loads and len(buckets) < TABLE_SIZE:
        for index, load in enumerate(loads):
            buckets += [index] * min(max(1, load.weight), TABLE_SIZE)
    return tuple(buckets[:TABLE_SIZE])


@register
class SourceHashing(Scheduler):
    """A client always goes to the same destination, as long as the list of them stays the same.

    Flags: ``sh-port`` hashes the client's port too; with ``sh-fallback`` another bucket is tried when the
    destination is not a candidate, otherwise the connection is refused.
    """

    name = "sh"
    known_flags = ("sh-fallback", "sh-port")
    table: ClassVar[Table | None] = staticmethod(table)

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index in the client's bucket; None when that is not a candidate (nor any other, if asked)."""
        buckets = table(loads)
        if not buckets:
            return None
        port = request.client_port if "sh-port" in self.flags else 0
        home = hash_32(endpoint_sum(request.client, port), TABLE_BITS)
        tries = [home]
        if "sh-fallback" in self.flags:
            tries += [(home + home + turn) % TABLE_SIZE for turn in range(TABLE_SIZE)]
        return next((buckets[each] for each in tries if loads[buckets[each]].share > 0), None)
