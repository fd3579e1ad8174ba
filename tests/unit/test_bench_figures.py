"""What the benchmark makes of its measurements: medians, ratios, aims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import DeliveryError, bytes_of, requests_of
from figures import Machine, Noise, Part, Results, Row, at_least, at_most, missed
from ratios import Spread, same_round_ratios, spread, turned

MACHINE = Machine(processor="x", cpus=2, memory_gib=4.0, kernel="6.1", date="2026-01-01", commit="abc")
WRK = "  105 requests in {}, 1.2MB read\n{}Requests/sec: 105\n"


def row(*, ratio: float | None = None, value: float | None = 10.0, **more: object) -> Row:
    return Row(
        what="speed",
        how="shoal",
        unit="ns",
        value=None if value is None else spread([value]),
        ratio=None if ratio is None else spread([ratio]),
        **more,
    )


def part(*rows: Row) -> Part:
    return Part(
        name="part",
        title="Part",
        about="",
        command="",
        rounds=1,
        baseline="",
        rows=rows,
        noise=Noise(own_share=1.0, steal_share=0.0),
        seconds=1.0,
    )


def test_a_spread_is_the_median_between_the_least_and_the_greatest() -> None:
    assert spread([5.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=5.0)


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_a_ratio_is_taken_within_its_round() -> None:
    assert same_round_ratios([2.0, 30.0], [1.0, 10.0]) == [2.0, 3.0]


def test_rounds_that_are_missing_on_one_side_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        same_round_ratios([1.0, 2.0], [1.0])


@given(drift=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=9), factor=st.floats(0.1, 10))
def test_drift_that_meets_both_sides_alike_leaves_the_ratio_as_it_is(
    drift: list[float], factor: float
) -> None:
    ratios = same_round_ratios([100 * factor * speed for speed in drift], [100 * speed for speed in drift])
    assert ratios == pytest.approx([factor] * len(drift))


def test_every_mode_is_first_in_turn() -> None:
    assert [turned("abc", turn) for turn in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


@pytest.mark.parametrize(
    ("aim", "value", "met"),
    [
        (at_least(0.95), 0.95, True),
        (at_least(0.95), 0.94, False),
        (at_most(0.5), 0.5, True),
        (at_most(0.5), 0.51, False),
    ],
)
def test_an_aim_is_met_at_its_limit_and_on_its_side(aim: object, value: float, met: bool) -> None:
    assert row(ratio=value, aim=aim).is_met is met


def test_an_aim_is_for_the_ratio_where_there_is_one() -> None:
    assert row(value=100.0, ratio=0.4, aim=at_most(0.5)).is_met is True
    assert row(value=100.0, aim=at_most(0.5)).is_met is False


def test_an_aim_without_a_measurement_is_missed() -> None:
    assert row(value=None, aim=at_least(1.0)).is_met is False


def test_what_has_no_aim_is_neither_met_nor_missed() -> None:
    assert row(ratio=2.0).is_met is None


def test_only_rows_with_an_aim_that_is_not_met_are_missed() -> None:
    bad = row(ratio=2.0, aim=at_most(1.0))
    results = Results(machine=MACHINE, parts=(part(row(), bad), part(row(ratio=0.5, aim=at_most(1.0)))))
    assert [found for _, found in missed(results)] == [bad]


@pytest.mark.parametrize(
    ("own", "steal", "quiet"), [(0.95, 0.01, True), (0.94, 0.0, False), (1.0, 0.011, False)]
)
def test_a_machine_is_quiet_while_its_cpu_is_ours(own: float, steal: float, quiet: bool) -> None:
    assert Noise(own_share=own, steal_share=steal).is_quiet is quiet


def test_requests_are_read_from_a_clean_report() -> None:
    assert requests_of(WRK.format("1.10s", "")) == (105, 1.1)
    assert requests_of(WRK.format("900.00ms", "")) == (105, 0.9)


@pytest.mark.parametrize(
    "complaint",
    ["  Socket errors: connect 0, read 3, write 0, timeout 0\n", "  Non-2xx or 3xx responses: 1\n"],
)
def test_a_report_with_any_failure_is_refused(complaint: str) -> None:
    with pytest.raises(DeliveryError):
        requests_of(WRK.format("1.10s", complaint))


@pytest.mark.parametrize("report", ["", "unable to connect", "  0 requests in 1.10s, 0.00B read"])
def test_a_report_of_nothing_done_is_refused(report: str) -> None:
    with pytest.raises(DeliveryError, match="did nothing"):
        requests_of(report)


def test_bytes_are_those_that_the_receiver_counted() -> None:
    report = '{"end": {"sum_sent": {"bytes": 9}, "sum_received": {"bytes": 7, "seconds": 1.5}}}'
    assert bytes_of(report) == (7, 1.5)


@pytest.mark.parametrize(
    "report",
    ["", "{}", '{"error": "refused"}', '{"end": {"sum_received": {"bytes": 0, "seconds": 1}}}'],
)
def test_a_transfer_without_a_received_byte_is_refused(report: str) -> None:
    with pytest.raises(DeliveryError):
        bytes_of(report)
