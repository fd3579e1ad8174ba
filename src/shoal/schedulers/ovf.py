"""Weighted overflow (ip_vs_ovf.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import heaviest


@register
class WeightedOverflow(Scheduler):
    """Everything goes to the greatest weight until it has more active connections than that; then the next.

    When all are that full there is no choice, and the connection is refused.
    """

    name = "ovf"

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the first candidate with the greatest weight that is not full; None if there is none."""
        return heaviest(loads, but=lambda load: load.active > load.weight)
