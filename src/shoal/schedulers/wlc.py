"""Weighted least connection (ip_vs_wlc.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import Load, Scheduler, register
from shoal.schedulers.lc import overhead


@register
class WeightedLeastConnection(Scheduler):
    """The destination with the least overhead for its weight; the first of equals.

    Quotients are compared by their cross products, so nothing is rounded.
    """

    name = "wlc"

    def choose(self, loads: Sequence[Load]) -> int | None:
        """The index of the destination with the least overhead / weight; None when none has a weight."""
        least: int | None = None
        for index, load in enumerate(loads):
            if load.weight <= 0:
                continue
            if least is None or overhead(load) * loads[least].weight < overhead(loads[least]) * load.weight:
                least = index
        return least
