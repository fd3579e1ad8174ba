"""The schedulers that compare loads: sed nq fo ovf twos."""

from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shoal.schedulers import Load, Request, scheduler_class
from shoal.schedulers.twos import chances, picked

LOADS = st.lists(
    st.builds(
        Load,
        weight=st.integers(0, 9),
        active=st.integers(0, 12),
        inactive=st.integers(0, 600),
        available=st.booleans(),
    ),
    max_size=8,
)
NAMES = ["rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "twos", "sh", "dh", "mh", "lblc", "lblcr"]


def of(*pairs: tuple[int, int]) -> list[Load]:
    """Loads of weights and active connections."""
    return [Load(weight=weight, active=active) for weight, active in pairs]


@pytest.mark.parametrize("name", NAMES)
@given(LOADS)
def test_whoever_is_chosen_is_a_candidate(name, loads):
    chosen = scheduler_class(name)().choose(loads)
    assert chosen is None or loads[chosen].share > 0


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("ovf", "sh", "dh", "mh")])
@given(LOADS)
def test_a_candidate_is_found_when_there_is_one(name, loads):
    assume(any(load.share for load in loads))
    assert scheduler_class(name)().choose(loads) is not None


@given(LOADS)
def test_sed_is_the_first_with_the_least_delay_for_its_weight(loads):
    chosen = scheduler_class("sed")().choose(loads)
    assume(chosen is not None)
    best = loads[chosen]
    for index, load in enumerate(loads):
        if load.share:
            mine, other = (load.active + 1) * best.weight, (best.active + 1) * load.weight
            assert mine > other if index < chosen else mine >= other


def test_sed_counts_the_new_connection_so_a_strong_idle_server_is_first():
    assert scheduler_class("sed")().choose(of((1, 0), (3, 1))) == 1
    assert scheduler_class("sed")().choose(of((1, 0), (3, 2))) == 0
    assert scheduler_class("wlc")().choose(of((1, 0), (3, 1))) == 0


@given(LOADS)
def test_nq_is_the_first_idle_one_and_otherwise_sed(loads):
    idle = [index for index, load in enumerate(loads) if load.share and not load.active]
    expected = idle[0] if idle else scheduler_class("sed")().choose(loads)
    assert scheduler_class("nq")().choose(loads) == expected


@given(LOADS)
def test_fo_is_the_first_of_the_greatest_weight_whatever_its_load(loads):
    weights = [load.share for load in loads]
    expected = weights.index(max(weights)) if any(weights) else None
    assert scheduler_class("fo")().choose(loads) == expected


@given(LOADS)
def test_ovf_is_fo_among_those_that_are_not_full(loads):
    rest = [
        Load(weight=0 if load.active > load.weight else load.weight, available=load.available)
        for load in loads
    ]
    assert scheduler_class("ovf")().choose(loads) == scheduler_class("fo")().choose(rest)


def test_ovf_is_full_one_above_its_weight():
    assert scheduler_class("ovf")().choose(of((1, 0), (5, 5))) == 1
    assert scheduler_class("ovf")().choose(of((1, 0), (5, 6))) == 0
    assert scheduler_class("ovf")().choose(of((1, 2), (5, 6))) is None


def test_a_draw_of_twos_has_one_part_more_for_the_first():
    loads = of((2, 0), (0, 0), (3, 0))
    assert [picked(loads, number) for number in range(6)] == [0, 0, 0, 2, 2, 2]
    assert picked(loads, 6) == 0


@given(LOADS, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_twos_is_the_better_of_the_two_that_were_drawn(loads, first, second):
    chosen = scheduler_class("twos")().choose(loads, Request(chance=(first, second)))
    drawn = [picked(loads, first), picked(loads, second)]
    if chosen is None:
        assert drawn == [None, None]
        return

    def cost(index: int) -> float:
        return (256 * loads[index].active + loads[index].inactive) / loads[index].weight

    assert chosen in drawn
    assert cost(chosen) == min(cost(index) for index in drawn)
    if cost(drawn[0]) == cost(drawn[1]):
        assert chosen == drawn[0]


def test_the_reproducible_chances_look_random():
    numbers = list(islice(chances(), 4000))
    assert numbers == list(islice(chances(), 4000))
    assert all(0 <= number < 1 << 32 for number in numbers)
    # 250 in each sixteenth; five standard deviations are 77
    for shift in (0, 14, 28):
        found = Counter(number >> shift & 15 for number in numbers)
        assert all(173 < found[part] < 327 for part in range(16))
    rising = sum(one < other for one, other in pairwise(numbers))
    assert 1850 < rising < 2150
