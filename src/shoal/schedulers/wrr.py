"""Weighted round robin, interleaved (ip_vs_wrr.c)."""

import bisect
import math
from collections.abc import Sequence
from typing import ClassVar

from shoal.schedulers.base import ANY_REQUEST, MAX_RING, Load, Request, Ring, Scheduler, register


def scaled(weights: Sequence[int]) -> tuple[int, ...]:
    """Weights divided by their greatest common divisor, and made smaller when their ring would not fit.

    Then each becomes ``weight * (MAX_RING - n) / sum``, rounded down, but at least 1 where there was a weight
    (``n`` of them): the sum is at most ``MAX_RING``, and no destination is forgotten. A share is off by at
    most ``(n + 1) / (MAX_RING - 2 * n)`` of all connections.
    """
    divisor = math.gcd(*weights) or 1
    reduced = [weight // divisor for weight in weights]
    total = sum(reduced)
    if total <= MAX_RING:
        return tuple(reduced)
    room = MAX_RING - sum(weight > 0 for weight in weights)
    return tuple(max(1, weight * room // total) if weight else 0 for weight in reduced)


def ring(weights: Sequence[int]) -> tuple[int, ...]:
    """One period of the kernel's walk from its beginning: ``sum / gcd`` indexes, or those of scaled weights.

    The walk goes down level by level from the greatest weight, and on each level takes in order every
    destination whose weight reaches it.
    """
    parts = scaled(weights)
    by_part = sorted((part, index) for index, part in enumerate(parts) if part)
    walk: list[int] = []
    level_members: list[int] = []
    for level in range(max(parts, default=0), 0, -1):
        while by_part and by_part[-1][0] >= level:
            bisect.insort(level_members, by_part.pop()[1])
        walk += level_members
    return tuple(walk)


@register
class WeightedRoundRobin(Scheduler):
    """As often as its weight says, and spread out: with weights 4, 3, 2 the walk is A A B A B C A B C."""

    name = "wrr"
    ring: ClassVar[Ring | None] = staticmethod(ring)

    def __init__(self, *, flags: Sequence[str] = ()) -> None:
        super().__init__(flags=flags)
        self._weights: tuple[int, ...] = ()
        self._position = -1
        self._level = 0

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The next destination of the walk that is not overloaded; None when there is none with a weight."""
        weights = tuple(load.weight if load.available else 0 for load in loads)
        greatest = max(weights, default=0)
        if greatest == 0:
            return None
        divisor = math.gcd(*weights)
        top = greatest - (divisor - 1)
        if weights != self._weights:
            self._weights_changed(weights, divisor=divisor, top=top)
        for _ in range(sum(weights) // divisor):  # a whole period: whoever is overloaded is passed over
            index = self._step(weights, divisor=divisor, top=top)
            if not loads[index].overloaded:
                return index
        return None

    def _step(self, weights: tuple[int, ...], *, divisor: int, top: int) -> int:
        """The next place of the walk."""
        while True:
            self._position += 1
            if self._position == len(weights):
                self._position = 0
                self._level -= divisor
                if self._level <= 0:
                    self._level = top
            if weights[self._position] >= self._level:
                return self._position

    def _weights_changed(self, weights: tuple[int, ...], *, divisor: int, top: int) -> None:
        """Begin at the head of the list, on a level that exists now (ip_vs_wrr_dest_changed)."""
        self._weights = weights
        self._position = -1
        if self._level > top or self._level == 0:
            self._level = top
        elif divisor > 1:
            self._level = self._level // divisor * divisor + 1
