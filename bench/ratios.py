"""What repeated, interleaved measurements say: medians, spreads, ratios within a round. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of several rounds, and the least and greatest of them."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and range. Raises ValueError when there are no values."""
    if not values:
        raise ValueError("no values")
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


def same_round_ratios(ours: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Each round's value as a multiple of the baseline's in that same round, so that slow drift cancels out."""
    return [mine / theirs for mine, theirs in zip(ours, baseline, strict=True)]


def turned(names: Sequence[T], turn: int) -> list[T]:
    """The same names, beginning with another one in each round: nobody is always first."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]
