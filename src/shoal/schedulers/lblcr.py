"""Locality-based least connection with replication (ip_vs_lblcr.c)."""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.model import Address
from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.lblc import EXPIRATION, Endpoint, candidates, is_overloaded
from shoal.schedulers.least import least_for_weight, overhead

MAX_REPLICAS = 8
"""Destinations of one virtual address; the kernel has no limit (``SHOAL_MAX_REPLICAS`` in ``bpf/abi.h``)."""


@dataclass(slots=True)
class _Replicas:
    """The destinations of one virtual address, newest first; when that last changed and was last used."""

    endpoints: list[Endpoint]
    changed: float
    used: float


@register
class LocalityBasedLeastConnectionWithReplication(Scheduler):
    """What is sent to one virtual address goes to the least loaded of a set of destinations.

    When that one is overloaded while another is half idle, the choice of wlc joins the set. A set that stays
    the same for 24 hours loses its most loaded destination, so that it shrinks when the crowd has gone. Of a
    full set the oldest gives way.
    """

    name = "lblcr"
    outlives_changes = True

    def __init__(self, *, flags: Sequence[str] = ()) -> None:
        super().__init__(flags=flags)
        self._kept: dict[Address, _Replicas] = {}

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the set's least loaded, or of a new one by wlc; None when there is no candidate."""
        kept = self._kept.get(request.virtual_address)
        if kept is not None and request.now - kept.used >= EXPIRATION:
            kept = None
        if kept is not None:
            kept.used = request.now
            least = _least_of(kept, loads)
            if len(kept.endpoints) > 1 and request.now - kept.changed > EXPIRATION:
                _drop_most_loaded(kept, loads, now=request.now)
            if least is not None and not is_overloaded(loads[least], loads):
                return least
        index = least_for_weight(loads, overhead)
        if index is not None:
            self._join(kept, (loads[index].address, loads[index].port), request)
        return index

    def _join(self, kept: _Replicas | None, endpoint: Endpoint, request: Request) -> None:
        if kept is None:
            self._kept[request.virtual_address] = _Replicas([endpoint], request.now, request.now)
        elif endpoint not in kept.endpoints:
            kept.endpoints = [endpoint, *kept.endpoints][:MAX_REPLICAS]
            kept.changed = request.now


def _members(kept: _Replicas, loads: Sequence[Load]) -> list[int]:
    """The indexes of the set's candidates, newest first."""
    found = candidates(loads)
    return [found[endpoint] for endpoint in kept.endpoints if endpoint in found]


def _least_of(kept: _Replicas, loads: Sequence[Load]) -> int | None:
    members = _members(kept, loads)
    position = least_for_weight([loads[index] for index in members], overhead)
    return None if position is None else members[position]


def _drop_most_loaded(kept: _Replicas, loads: Sequence[Load], *, now: float) -> None:
    """Of equals the newest goes."""
    most: Load | None = None
    for index in _members(kept, loads):
        load = loads[index]
        if most is None or overhead(most) * load.weight < overhead(load) * most.weight:
            most = load
    if most is not None:
        kept.endpoints.remove((most.address, most.port))
        kept.changed = now
