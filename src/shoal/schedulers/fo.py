"""Weighted failover (ip_vs_fo.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import heaviest


@register
class WeightedFailover(Scheduler):
    """Everything goes to the destination with the greatest weight, as long as it is available."""

    name = "fo"

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the first candidate with the greatest weight; None when there is none."""
        return heaviest(loads)
