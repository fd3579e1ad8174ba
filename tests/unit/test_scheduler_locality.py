"""The schedulers that remember what an address was given: lblc and lblcr."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.schedulers import Load, Request, scheduler_class

DAY = 24 * 3600.0
CACHED = Request(virtual_address=IPv4Address("192.0.2.10"), now=1000.0)


def of(*pairs: tuple[int, int]) -> list[Load]:
    """Loads of weights and active connections."""
    return [
        Load(weight=weight, active=active, address=IPv4Address("10.0.1.21") + index, port=80)
        for index, (weight, active) in enumerate(pairs)
    ]


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_an_address_stays_where_wlc_put_it_until_that_is_overloaded(name):
    scheduler = scheduler_class(name)()
    assert scheduler.choose(of((10, 3), (10, 1), (10, 2)), CACHED) == 1
    assert scheduler.choose(of((10, 0), (10, 10), (10, 2)), CACHED) == 1
    # above its weight, but nobody is below half of its own
    assert scheduler.choose(of((10, 5), (10, 11), (10, 5)), CACHED) == 1
    assert scheduler.choose(of((10, 5), (10, 11), (10, 4)), CACHED) == 2


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_each_address_has_its_own(name):
    scheduler = scheduler_class(name)()
    other = replace(CACHED, virtual_address=IPv4Address("192.0.2.11"))
    assert scheduler.choose(of((1, 0), (1, 0)), CACHED) == 0
    assert scheduler.choose(of((1, 1), (1, 0)), other) == 1
    assert [scheduler.choose(of((1, 1), (1, 1)), each) for each in (CACHED, other)] == [0, 1]


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_an_address_leaves_a_server_that_is_no_candidate(name):
    scheduler = scheduler_class(name)()
    assert scheduler.choose(of((1, 0), (1, 0)), CACHED) == 0
    assert scheduler.choose(of((0, 0), (1, 0)), CACHED) == 1


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_it_follows_its_server_through_the_list(name):
    scheduler = scheduler_class(name)()
    assert scheduler.choose(of((1, 1), (1, 0)), CACHED) == 1
    assert scheduler.choose(of((1, 1), (1, 0))[::-1], CACHED) == 0


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_an_address_that_nobody_asked_for_in_a_day_is_forgotten(name):
    scheduler = scheduler_class(name)()
    assert scheduler.choose(of((10, 0), (10, 0)), CACHED) == 0
    busy = of((10, 2), (10, 1))
    assert scheduler.choose(busy, replace(CACHED, now=CACHED.now + DAY - 1)) == 0
    assert scheduler.choose(busy, replace(CACHED, now=CACHED.now + 2 * DAY - 1)) == 1


def test_lblc_goes_for_good_where_lblcr_comes_back():
    overloaded, calm = of((10, 11), (10, 4)), of((10, 1), (10, 2))
    for name, then in (("lblc", 1), ("lblcr", 0)):
        scheduler = scheduler_class(name)()
        assert scheduler.choose(of((10, 0), (10, 0)), CACHED) == 0
        assert scheduler.choose(overloaded, CACHED) == 1
        assert scheduler.choose(calm, CACHED) == then


def test_the_newest_of_equals_in_a_set_is_taken():
    scheduler = scheduler_class("lblcr")()
    assert scheduler.choose(of((10, 0), (10, 0)), CACHED) == 0
    assert scheduler.choose(of((10, 11), (10, 4)), CACHED) == 1
    assert scheduler.choose(of((10, 3), (10, 3)), CACHED) == 1


def test_a_set_that_stays_the_same_for_a_day_loses_its_most_loaded():
    scheduler = scheduler_class("lblcr")()
    assert scheduler.choose(of((10, 0), (10, 0)), CACHED) == 0
    assert scheduler.choose(of((10, 11), (10, 4)), CACHED) == 1
    halfway = replace(CACHED, now=CACHED.now + DAY / 2)
    assert scheduler.choose(of((10, 3), (10, 4)), halfway) == 0
    after = replace(CACHED, now=CACHED.now + DAY + 1)
    # the choice is made before the set shrinks
    assert scheduler.choose(of((10, 5), (10, 4)), after) == 1
    assert scheduler.choose(of((10, 0), (10, 4)), after) == 1
