"""The comparison that many schedulers share: the first destination with the least cost for its weight."""

from collections.abc import Callable, Sequence

from shoal.schedulers.base import Load


def overhead(load: Load) -> int:
    """What its connections cost: an active one as much as 256 inactive ones (ip_vs_dest_conn_overhead)."""
    return 256 * load.active + load.inactive


def least_for_weight(loads: Sequence[Load], cost: Callable[[Load], int]) -> int | None:
    """The index of the first candidate with the least cost / weight; None when there is no candidate.

    Quotients are compared by their cross products, so nothing is rounded.
    """
    least: int | None = None
    for index, load in enumerate(loads):
        if load.share <= 0:
            continue
        if least is None or cost(load) * loads[least].weight < cost(loads[least]) * load.weight:
            least = index
    return least


def heaviest(loads: Sequence[Load], *, but: Callable[[Load], bool] = lambda load: False) -> int | None:
    """The index of the first candidate with the greatest weight, ``but`` for some; None when there is none."""
    candidates = [index for index, load in enumerate(loads) if load.share > 0 and not but(load)]
    return max(candidates, key=lambda index: loads[index].weight, default=None)
