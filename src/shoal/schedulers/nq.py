"""Never queue (ip_vs_nq.c)."""

from collections.abc import Sequence

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import least_for_weight
from shoal.schedulers.sed import expected_delay


@register
class NeverQueue(Scheduler):
    """The first destination without an active connection; when all are busy, as sed chooses."""

    name = "nq"

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of an idle destination, else of the shortest delay; None when none has a weight."""
        idle = (index for index, load in enumerate(loads) if load.share > 0 and load.active == 0)
        found = next(idle, None)
        return least_for_weight(loads, expected_delay) if found is None else found
