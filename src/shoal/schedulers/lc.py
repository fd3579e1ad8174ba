"""Least connection (ip_vs_lc.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import Load, Scheduler, register


def overhead(load: Load) -> int:
    """What its connections cost: an active one as much as 256 inactive ones (ip_vs_dest_conn_overhead)."""
    return 256 * load.active + load.inactive


@register
class LeastConnection(Scheduler):
    """The destination with the least overhead; the first of equals. Weights do not matter, except 0."""

    name = "lc"

    def choose(self, loads: Sequence[Load]) -> int | None:
        """The index of the least loaded destination that has a weight; None when there is none."""
        candidates = [index for index, load in enumerate(loads) if load.weight > 0]
        return min(candidates, key=lambda index: overhead(loads[index]), default=None)
