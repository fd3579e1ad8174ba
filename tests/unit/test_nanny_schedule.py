"""Phases, and the timing wheel."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.nanny.schedule import SLOT, SLOTS, Item, Wheel, first_regular, phases


def put(wheel: Wheel[Item], item: Item, *, at: float) -> int:
    slot = wheel.slot(at)
    wheel.put(item, slot=slot)
    return slot


def test_phases_are_spread_evenly_over_the_interval():
    assert phases([2.0] * 4) == (0.0, 0.5, 1.0, 1.5)


def test_targets_of_different_intervals_are_spread_apart():
    assert phases([1.0, 10.0, 1.0, 10.0]) == (0.0, 0.0, 0.5, 5.0)


def test_no_targets_have_no_phases():
    assert phases([]) == ()


def test_ten_thousand_targets_never_fire_together():
    offsets = phases([2.0] * 10_000)
    counts: dict[int, int] = {}
    for offset in offsets:
        counts[int(offset / 0.01 + 1e-6)] = counts.get(int(offset / 0.01 + 1e-6), 0) + 1
    assert (min(counts.values()), max(counts.values()), len(counts)) == (50, 50, 200)


@given(st.lists(st.sampled_from([0.1, 1.0, 2.0, 3600.0]), max_size=50))
def test_a_phase_lies_within_its_interval(intervals: list[float]):
    offsets = phases(intervals)
    assert len(offsets) == len(intervals)
    assert all(0 <= offset < interval for offset, interval in zip(offsets, intervals, strict=True))


@given(st.floats(0, 100), st.floats(0, 0.999), st.sampled_from([0.1, 1.0, 3600.0]))
def test_regular_probes_begin_in_phase_and_half_to_one_and_a_half_intervals_after_the_first(
    ahead: float, share: float, interval: float
):
    phase = share * interval
    regular = first_regular(first=50 + ahead, origin=50, phase=phase, interval=interval)
    turns = (regular - 50 - phase) / interval
    assert abs(turns - round(turns)) < 1e-6
    assert interval * 0.499 <= regular - 50 - ahead
    assert regular - 50 - ahead <= interval * 1.501


def test_an_empty_wheel_is_never_due():
    wheel: Wheel[str] = Wheel(now=5.0)
    assert (wheel.next_slot(), wheel.due(100.0), len(wheel)) == (None, [], 0)


def test_an_item_is_handed_out_once_and_not_early():
    wheel: Wheel[str] = Wheel(now=100.0)
    slot = put(wheel, "probe", at=100.125)
    assert wheel.due(100.125) == []
    assert wheel.due(100.131) == [(slot, "probe")]
    assert wheel.due(200.0) == []


def test_the_next_slot_is_where_the_next_item_lies():
    wheel: Wheel[str] = Wheel(now=0.0)
    put(wheel, "probe", at=0.123)
    assert wheel.next_slot() == 13 * SLOT


def test_a_time_gone_by_means_the_next_slot():
    wheel: Wheel[str] = Wheel(now=0.0)
    wheel.due(1.0)
    assert put(wheel, "late", at=0.2) == 101


def test_items_of_a_later_turn_stay():
    wheel: Wheel[str] = Wheel(now=0.0)
    turn = SLOT * SLOTS
    put(wheel, "this turn", at=0.5)
    put(wheel, "next turn", at=0.5 + turn)
    assert [item for _, item in wheel.due(0.52)] == ["this turn"]
    assert wheel.due(0.4 + turn) == []
    assert [item for _, item in wheel.due(0.52 + turn)] == ["next turn"]


def test_after_a_long_pause_everything_comes_in_order():
    wheel: Wheel[int] = Wheel(now=0.0)
    for at in (30.0, 1.0, 12.0, 6.0):
        put(wheel, int(at), at=at)
    assert [item for _, item in wheel.due(3600.0)] == [1, 6, 12, 30]


@given(st.lists(st.floats(0, 40), max_size=60), st.lists(st.floats(0.001, 15), max_size=30))
def test_every_item_comes_once_between_its_time_and_one_slot_later(times: list[float], waits: list[float]):
    wheel: Wheel[float] = Wheel(now=0.0)
    for at in times:
        put(wheel, at, at=at)
    now, before = 0.0, 0.0
    seen: list[float] = []
    for wait in [*waits, 60.0]:
        before, now = now, now + wait
        for _, at in wheel.due(now):
            assert at <= now
            assert at >= before - SLOT - 1e-9
            seen.append(at)
    assert sorted(seen) == sorted(times)
    assert len(wheel) == 0
