"""When the floating addresses are announced."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.pulse.announcements import Announcements


def times(announcements: Announcements, until: float) -> list[float]:
    """When bursts are due up to some time."""
    found = []
    while announcements.deadline is not None and announcements.deadline <= until:
        now = announcements.deadline
        assert announcements.take_due(now)
        found.append(round(now, 3))
    return found


def test_a_series_is_spread_over_five_seconds_and_refreshed_every_minute() -> None:
    announcements = Announcements()
    announcements.start(100.0)
    assert times(announcements, 230.0) == [100.0, 100.05, 100.2, 101.0, 105.0, 165.0, 225.0]


def test_only_what_comes_after_the_series_is_a_refresh() -> None:
    announcements = Announcements()
    announcements.start(0.0)
    assert times(announcements, 5.0)[-1] == 5.0
    assert not announcements.refreshing
    assert times(announcements, 65.0) == [65.0]
    assert announcements.refreshing


def test_bursts_that_were_missed_together_are_sent_once() -> None:
    announcements = Announcements()
    announcements.start(0.0)
    assert announcements.take_due(3.0)
    assert not announcements.take_due(3.0)
    assert announcements.deadline == 5.0


def test_nothing_is_due_before_its_time_nor_after_the_end() -> None:
    announcements = Announcements()
    assert not announcements.take_due(1e9)
    announcements.start(1.0)
    assert not announcements.take_due(0.99)
    announcements.stop()
    assert announcements.deadline is None


def test_a_contest_that_goes_on_begins_fewer_and_fewer_series() -> None:
    announcements = Announcements()
    begun = [tenth for tenth in range(1200) if announcements.contest(tenth / 10)]
    assert begun == [0, 10, 30, 70, 150, 310, 630, 1230][: len(begun)]
    assert len(begun) == 7


def test_a_contest_after_a_quiet_time_is_answered_within_a_second_again() -> None:
    announcements = Announcements()
    for tenth in range(600):
        announcements.contest(tenth / 10)
    assert announcements.contest(1000.0)
    assert announcements.contest(1001.0)


@given(st.lists(st.floats(min_value=0.001, max_value=0.5), min_size=1, max_size=300))
def test_contests_never_cause_a_storm(gaps: list[float]) -> None:
    announcements = Announcements()
    now, bursts = 0.0, 0
    for gap in gaps:
        now += gap
        announcements.contest(now)
        bursts += announcements.take_due(now)
    assert bursts <= 5 * (now / 1.0 + 1)
