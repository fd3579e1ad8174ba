"""Shortest expected delay (ip_vs_sed.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import least_for_weight


def expected_delay(load: Load) -> int:
    """The queue that the new connection would make, itself included; inactive connections do not count."""
    return load.active + 1


@register
class ShortestExpectedDelay(Scheduler):
    """The destination with the least (active + 1) for its weight; the first of equals."""

    name = "sed"

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the destination with the shortest expected delay; None when none has a weight."""
        return least_for_weight(loads, expected_delay)
