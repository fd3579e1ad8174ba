"""Schedulers choose as the kernel's IPVS does."""

import math
import random
from collections import Counter
from itertools import islice
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import schedulers
from shoal.config.schema import VirtualServerTable
from shoal.config.server_rules import SCHEDULER_FLAGS
from shoal.errors import ConfigError, NotFoundError
from shoal.schedulers import MAX_RING, Load, rr, scheduler_class, wrr

WEIGHTS = st.lists(st.integers(0, 40), max_size=12)
LOADS = st.lists(
    st.builds(
        Load, weight=st.integers(0, 65535), active=st.integers(0, 10**6), inactive=st.integers(0, 10**6)
    ),
    max_size=12,
)


def of_weights(*weights: int) -> list[Load]:
    return [Load(weight=weight) for weight in weights]


def choices(name: str, *, weights: list[int], count: int) -> str:
    """Letters of the destinations that a fresh scheduler chooses."""
    scheduler = scheduler_class(name)()
    chosen = [scheduler.choose(of_weights(*weights)) for _ in range(count)]
    return "".join("-" if index is None else "ABCDEFGHIJKL"[index] for index in chosen)


def test_the_registry_holds_the_schedulers_that_a_configuration_may_name():
    literal = get_type_hints(VirtualServerTable, include_extras=False)["scheduler"]
    assert set(get_args(literal)) == set(schedulers.names())
    assert len(schedulers.names()) == 14


def test_a_configuration_may_give_the_flags_that_the_schedulers_take():
    known = {name: scheduler_class(name).known_flags for name in schedulers.names()}
    assert {name: flags for name, flags in known.items() if flags} == SCHEDULER_FLAGS
    assert all(list(flags) == sorted(flags) for flags in known.values())


def test_a_flag_that_a_scheduler_does_not_take_is_refused():
    with pytest.raises(ConfigError) as caught:
        scheduler_class("sh")(flags=("mh-port",))
    assert caught.value.problem == "the scheduler sh has no flag mh-port"
    assert caught.value.fix == "Use sh-fallback or sh-port."


def test_an_unknown_scheduler_is_not_found():
    with pytest.raises(NotFoundError) as caught:
        scheduler_class("maglev")
    assert caught.value.fix == f"Use one of {', '.join(schedulers.names())}."


@pytest.mark.parametrize("name", schedulers.names())
@pytest.mark.parametrize("weights", [[], [0], [0, 0, 0]])
def test_without_a_candidate_there_is_no_choice(name, weights):
    assert choices(name, weights=weights, count=2) == "--"


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("rr", [1, 1, 1], "ABCABCABC"),
        ("rr", [5, 0, 1], "ACACAC"),
        ("rr", [0, 7], "BBB"),
        ("wrr", [4, 3, 2], "AABABCABCAABABCABC"),  # the example of the LVS documentation
        ("wrr", [1, 1, 1], "ABCABC"),
        ("wrr", [4, 2], "AABAAB"),
        ("wrr", [0, 3, 0, 6], "DBDDBD"),
        ("wrr", [0, 9], "BB"),
    ],
)
def test_the_order_is_the_kernels(name, weights, expected):
    assert choices(name, weights=weights, count=len(expected)) == expected


def test_rr_goes_on_after_the_last_chosen_when_one_is_quiesced():
    scheduler = rr.RoundRobin()
    assert scheduler.choose(of_weights(1, 1, 1)) == 0
    assert scheduler.choose(of_weights(1, 0, 1)) == 2
    assert scheduler.choose(of_weights(1, 1, 1)) == 0


def test_rr_survives_a_shorter_list():
    scheduler = rr.RoundRobin()
    assert [scheduler.choose(of_weights(1, 1, 1)) for _ in range(3)] == [0, 1, 2]
    assert scheduler.choose(of_weights(1)) == 0


def test_wrr_begins_at_the_head_on_a_level_that_exists_after_a_change():
    scheduler = wrr.WeightedRoundRobin()
    assert [scheduler.choose(of_weights(4, 3, 2)) for _ in range(2)] == [0, 0]
    # The level was 3; weights 4 and 2 have the divisor 2, and so the levels 3 and 1.
    assert [scheduler.choose(of_weights(4, 2)) for _ in range(3)] == [0, 0, 1]


def test_wrr_survives_smaller_weights():
    scheduler = wrr.WeightedRoundRobin()
    assert scheduler.choose(of_weights(100, 1)) == 0
    assert [scheduler.choose(of_weights(1, 1)) for _ in range(4)] == [0, 1, 0, 1]


def test_an_active_connection_weighs_as_much_as_256_inactive_ones():
    lc = scheduler_class("lc")()
    assert lc.choose([Load(weight=1, active=1), Load(weight=1, inactive=255)]) == 1
    assert lc.choose([Load(weight=1, active=1), Load(weight=1, inactive=256)]) == 0
    assert lc.choose([Load(weight=1, active=1), Load(weight=1, inactive=257)]) == 0


def test_lc_ignores_weights_except_zero():
    lc = scheduler_class("lc")()
    assert lc.choose([Load(weight=0), Load(weight=1, active=2), Load(weight=9, active=3)]) == 1


def test_wlc_divides_by_the_weight():
    wlc = scheduler_class("wlc")()
    assert wlc.choose([Load(weight=1, active=1), Load(weight=3, active=2)]) == 1
    assert wlc.choose([Load(weight=1, active=1), Load(weight=2, active=2)]) == 0


@given(LOADS)
def test_lc_is_the_first_with_the_least_overhead(loads):
    chosen = scheduler_class("lc")().choose(loads)
    costs = [(256 * load.active + load.inactive, index) for index, load in enumerate(loads) if load.weight]
    assert chosen == (min(costs)[1] if costs else None)


@given(LOADS)
def test_wlc_is_the_first_with_the_least_quotient(loads):
    chosen = scheduler_class("wlc")().choose(loads)
    if chosen is None:
        assert all(load.weight == 0 for load in loads)
        return

    def product(load: Load, other: Load) -> int:
        return (256 * load.active + load.inactive) * other.weight

    best = loads[chosen]
    for index, load in enumerate(loads):
        if load.weight:
            if index < chosen:
                assert product(best, load) < product(load, best)
            assert product(best, load) <= product(load, best)


# -- rings


def walk(ring: tuple[int, ...], *, count: int) -> list[int]:
    """What a cursor reads from a ring."""
    return [ring[cursor % len(ring)] for cursor in range(count)]


@pytest.mark.parametrize("name", ["rr", "wrr"])
def test_walking_the_ring_is_choosing_step_by_step_for_thousands_of_weight_lists(name):
    rng = random.Random(7)
    scheduler = scheduler_class(name)
    assert scheduler.ring is not None
    for _ in range(3000):
        greatest = rng.choice((1, 3, 10, 100))
        factor = rng.choice((1, 1, 2, 7))
        weights = [factor * rng.randint(0, greatest) for _ in range(rng.randint(1, 10))]
        ring = scheduler.ring(weights)
        reference, loads = scheduler(), of_weights(*weights)
        if not ring:
            assert reference.choose(loads) is None
            continue
        count = 2 * len(ring) + 1
        assert walk(ring, count=count) == [reference.choose(loads) for _ in range(count)]


@given(WEIGHTS)
def test_a_period_of_wrr_holds_each_destination_as_often_as_its_weight(weights):
    divisor = math.gcd(*weights) or 1
    counted = Counter(wrr.ring(weights))
    assert counted == Counter({i: weight // divisor for i, weight in enumerate(weights) if weight})


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60))
def test_a_ring_of_wrr_fits_and_forgets_nobody(weights):
    ring = wrr.ring(weights)
    assert len(ring) <= MAX_RING
    assert set(ring) == {index for index, weight in enumerate(weights) if weight}


@given(st.lists(st.integers(1, 65535), min_size=2, max_size=60))
def test_shares_of_a_scaled_ring_are_as_near_as_promised(weights):
    ring = wrr.ring(weights)
    counted = Counter(ring)
    tolerance = (len(weights) + 1) / (MAX_RING - 2 * len(weights))
    for index, weight in enumerate(weights):
        assert abs(counted[index] / len(ring) - weight / sum(weights)) <= tolerance


def test_the_largest_service_has_a_ring_too():
    weights = [65535] + [1] * 1023
    ring = wrr.ring(weights)
    assert len(ring) <= MAX_RING
    assert set(ring) == set(range(1024))
    assert len(wrr.ring([65535 - n for n in range(1024)])) <= MAX_RING


def test_a_ring_that_just_fits_is_not_scaled():
    assert len(wrr.ring([MAX_RING - 1, 1])) == MAX_RING
    assert len(set(islice(wrr.ring([MAX_RING, 1]), MAX_RING))) == 2
