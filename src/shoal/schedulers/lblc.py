"""Locality-based least connection (ip_vs_lblc.c)."""

from collections.abc import Sequence

from shoal.model import Address
from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import least_for_weight, overhead

EXPIRATION = 24 * 3600.0
"""Seconds after which an address that nobody asked for is forgotten (sysctl lblc_expiration)."""

Endpoint = tuple[Address, int]


def candidates(loads: Sequence[Load]) -> dict[Endpoint, int]:
    """Endpoints of the destinations that may be chosen, with their indexes."""
    return {(load.address, load.port): index for index, load in enumerate(loads) if load.share > 0}


def is_overloaded(load: Load, loads: Sequence[Load]) -> bool:
    """More active connections than its weight, while another has less than half of its own."""
    return load.active > load.weight and any(2 * other.active < other.share for other in loads)


@register
class LocalityBasedLeastConnection(Scheduler):
    """What is sent to one virtual address goes to the destination that wlc once chose for it.

    It stays there until that is no candidate any more, or is overloaded while another is half idle. The
    kernel forgets idle addresses from a timer; here that is found out when one is asked for again.
    """

    name = "lblc"
    outlives_changes = True

    def __init__(self, *, flags: Sequence[str] = ()) -> None:
        super().__init__(flags=flags)
        self._kept: dict[Address, tuple[Endpoint, float]] = {}

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the address's destination, or of a new one by wlc; None when there is no candidate."""
        index = self._remembered(loads, request)
        if index is None or is_overloaded(loads[index], loads):
            index = least_for_weight(loads, overhead)
        if index is not None:
            endpoint = loads[index].address, loads[index].port
            self._kept[request.virtual_address] = endpoint, request.now
        return index

    def _remembered(self, loads: Sequence[Load], request: Request) -> int | None:
        endpoint, used = self._kept.get(request.virtual_address, (None, 0.0))
        if endpoint is None or request.now - used >= EXPIRATION:
            return None
        return candidates(loads).get(endpoint)
