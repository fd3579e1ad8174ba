"""Weighted least connection (ip_vs_wlc.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import least_for_weight, overhead


@register
class WeightedLeastConnection(Scheduler):
    """The destination with the least overhead for its weight; the first of equals."""

    name = "wlc"

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the destination with the least overhead / weight; None when none has a weight."""
        return least_for_weight(loads, overhead)
