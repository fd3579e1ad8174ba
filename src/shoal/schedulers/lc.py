"""Least connection (ip_vs_lc.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import overhead


@register
class LeastConnection(Scheduler):
    """The destination with the least overhead; the first of equals. Weights do not matter, except 0."""

    name = "lc"

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the least loaded destination that has a weight; None when there is none."""
        candidates = [index for index, load in enumerate(loads) if load.share > 0]
        return min(candidates, key=lambda index: overhead(loads[index]), default=None)
