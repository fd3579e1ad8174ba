"""Numbers and ranges of the tables: lowest first, and nothing is given again before it has rested."""

import random
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.ebpf.abi import LIMITS
from shoal.dataplane.ebpf.addresses import filter_bits, packed
from shoal.dataplane.ebpf.numbers import REST, Numbers, Ranges
from shoal.errors import ConfigError


def numbers(limit: int) -> Numbers:
    return Numbers(limit, what="virtual servers", fix="raise it")


def ranges(limit: int) -> Ranges:
    return Ranges(limit, what="places", fix="raise it")


def test_numbers_are_given_lowest_first_and_zero_never():
    free = numbers(5)
    assert [free.take(0.0) for _ in range(4)] == [1, 2, 3, 4]
    assert free.end == 5
    with pytest.raises(ConfigError, match="more than 4 virtual servers"):
        free.take(0.0)


def test_a_number_rests_before_it_is_given_again():
    free = numbers(4)
    free.take_all(3, 0.0)
    free.release(2, 10.0)
    assert free.wait(10.0) == REST
    with pytest.raises(ConfigError):
        free.take(10.0 + REST / 2)
    assert free.wait(10.0 + REST) == 0.0
    assert free.take(10.0 + REST) == 2


def test_many_numbers_are_taken_all_or_none():
    free = numbers(5)
    with pytest.raises(ConfigError):
        free.take_all(5, 0.0)
    assert free.take_all(4, 0.0) == [1, 2, 3, 4]


def test_what_a_predecessor_gave_out_is_not_given_again():
    free = numbers(8)
    free.mark([2, 5])
    assert free.take_all(5, 0.0) == [1, 3, 4, 6, 7]


def test_waiting_does_not_help_where_nothing_rests():
    free = ranges(10)
    free.take(10, 0.0)
    assert free.wait(1, 0.0) == 0.0
    with pytest.raises(ConfigError, match="no room for 1 more places"):
        free.take(1, 0.0)


def test_a_range_of_nothing_takes_no_room():
    free = ranges(4)
    assert free.take(0, 0.0) == 0
    assert free.take(4, 0.0) == 0
    free.release(0, 0, 0.0)
    assert free.wait(1, 5.0) == 0.0


def test_marked_ranges_leave_the_room_between_them():
    free = ranges(100)
    free.mark([(50, 10), (10, 20), (0, 0)])
    assert free.take(20, 0.0) == 30
    assert free.take(10, 0.0) == 0
    assert free.take(40, 0.0) == 60


@pytest.mark.parametrize("seed", range(20))
def test_ranges_never_overlap_and_all_room_comes_back(seed: int):
    chance, free, held, now = random.Random(seed), ranges(1000), {}, 0.0
    for _ in range(500):
        now += chance.choice((0.0, 0.3, 1.1))
        length = chance.randrange(1, 120)
        try:
            first = free.take(length, now)
        except ConfigError:
            first = None
        if first is not None:
            taken = set(range(first, first + length))
            assert taken <= set(range(1000))
            assert all(taken.isdisjoint(range(begin, begin + size)) for begin, size in held.items())
            held[first] = length
        for begin in [each for each in held if chance.random() < 0.3]:
            free.release(begin, held.pop(begin), now)
    for begin, size in held.items():
        free.release(begin, size, now)
    assert free.take(1000, now + REST) == 0


def test_the_filter_of_real_servers_stays_sparse_with_a_hundred_thousand_of_them():
    addresses = [packed(IPv4Address("10.0.0.1") + number) for number in range(100_000)]
    set_bits = filter_bits(addresses, n_bits=LIMITS["SHOAL_REAL_FILTER_BITS"])
    assert len(set_bits) < (1 << LIMITS["SHOAL_REAL_FILTER_BITS"]) // 8
    assert len(filter_bits(addresses)) > (1 << LIMITS["SHOAL_FILTER_BITS"]) // 2
