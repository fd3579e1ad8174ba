"""Round robin: each destination in turn (ip_vs_rr.c)."""

from collections.abc import Sequence
from typing import ClassVar

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Ring, Scheduler, register


def ring(weights: Sequence[int]) -> tuple[int, ...]:
    """The indexes of the destinations with a weight, in order."""
    return tuple(index for index, weight in enumerate(weights) if weight > 0)


@register
class RoundRobin(Scheduler):
    """The next destination after the last chosen one that has a weight; weights otherwise do not matter."""

    name = "rr"
    ring: ClassVar[Ring | None] = staticmethod(ring)

    def __init__(self, *, flags: Sequence[str] = ()) -> None:
        super().__init__(flags=flags)
        self._last = -1

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the next destination with a weight; None when there is none."""
        for step in range(1, len(loads) + 1):
            index = (self._last + step) % len(loads)
            if loads[index].share > 0:
                self._last = index
                return index
        return None
