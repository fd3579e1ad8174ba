"""The better of two random choices (ip_vs_twos.c)."""

from collections.abc import Iterator, Sequence

from shoal.schedulers.base import ANY_REQUEST, Load, Request, Scheduler, register
from shoal.schedulers.least import overhead


def chances() -> Iterator[int]:
    """Numbers of 32 bits that look random and are the same each time (Lehmer's generator, MINSTD, twice)."""
    state = 1
    while True:
        state = state * 48271 % 0x7FFFFFFF
        high = state >> 15
        state = state * 48271 % 0x7FFFFFFF
        yield high << 16 | state >> 15


def picked(loads: Sequence[Load], number: int) -> int | None:
    """The index that a random number picks, in proportion to weight; None when there is no candidate.

    As in the kernel, the point is drawn from 0 to the sum of weights, both included, so the first destination
    has one part more than its weight.
    """
    total = sum(load.share for load in loads)
    point = number % (total + 1)
    for index, load in enumerate(loads):
        point -= load.share
        if load.share > 0 and point <= 0:
            return index
    return None


@register
class PowerOfTwoChoices(Scheduler):
    """Of two picked at random by weight, the one with the least overhead for its weight; the first of equals."""

    name = "twos"

    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
        """The index of the better of the two that ``request.chance`` picks; None when there is no candidate."""
        first, second = (picked(loads, number) for number in request.chance)
        if first is None or second is None:
            return None
        one, other = loads[first], loads[second]
        return second if overhead(one) * other.weight > overhead(other) * one.weight else first
