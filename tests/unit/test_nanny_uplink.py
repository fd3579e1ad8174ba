"""The connection to lvsd: full report first, and nothing lost while lvsd is away."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.ipc.messages import HealthReport, Hello, Record, TargetHealth
from shoal.nanny.engine import Engine
from shoal.nanny.uplink import RECORDS_KEPT, REPORT_SPACING, Uplink
from support.fake_lvsd import PATIENCE, FakeLvsd


class Reports:
    """Numbers the reports it makes."""

    def __init__(self, targets: int = 0) -> None:
        self.made = 0
        self._targets = tuple(
            TargetHealth("www", f"10.0.{number >> 8}.{number & 255}:80", "up", "HTTP 200", 1.5)
            for number in range(targets)
        )

    def __call__(self) -> HealthReport:
        self.made += 1
        return HealthReport(str(self.made), self._targets)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with contextlib.closing(Engine()) as engine:
        yield engine


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ipc.sock"


@contextlib.contextmanager
def lvsd_at(place: Path) -> Iterator[FakeLvsd]:
    with contextlib.closing(FakeLvsd(place)) as lvsd:
        yield lvsd


@contextlib.contextmanager
def uplink_to(engine: Engine, place: Path, reports: Callable[[], HealthReport]) -> Iterator[Uplink]:
    uplink = Uplink(engine, place, report=reports)
    yield uplink
    uplink.close()


def meet(engine: Engine, lvsd: FakeLvsd, done: Callable[[], bool]) -> None:
    """Run both ends until something is so."""

    def turned() -> bool:
        engine.turn(longest=0.005)
        return done()

    lvsd.until(turned)


def record(number: int) -> Record:
    return Record(at=float(number), source="nanny", event="real_server.up")


def test_it_says_hello_and_then_everything(engine: Engine, place: Path):
    with lvsd_at(place) as lvsd, uplink_to(engine, place, Reports()):
        meet(engine, lvsd, lambda: len(lvsd.heard) == 2)
        assert lvsd.heard == [Hello("nanny", os.getpid()), HealthReport("1", ())]


def test_it_connects_as_soon_as_lvsd_is_there(engine: Engine, place: Path):
    with uplink_to(engine, place, Reports()):
        engine.turn(longest=0.05)
        with lvsd_at(place) as lvsd:
            began = time.monotonic()
            meet(engine, lvsd, lambda: bool(lvsd.reports))
            assert time.monotonic() - began < 1.5


def test_it_comes_back_to_a_new_lvsd_with_everything(engine: Engine, place: Path):
    with uplink_to(engine, place, Reports()):
        for _ in range(2):
            with lvsd_at(place) as lvsd:
                meet(engine, lvsd, lambda lvsd=lvsd: len(lvsd.heard) == 2)
                assert isinstance(lvsd.heard[0], Hello)
                assert isinstance(lvsd.heard[1], HealthReport)


def test_records_wait_for_lvsd_and_come_in_order_after_the_report(engine: Engine, place: Path):
    with uplink_to(engine, place, Reports()) as uplink:
        for number in range(3):
            uplink.record(record(number))
        with lvsd_at(place) as lvsd:
            meet(engine, lvsd, lambda: len(lvsd.heard) == 5)
            assert lvsd.heard[2:] == [record(number) for number in range(3)]


def test_only_the_latest_records_are_kept(engine: Engine, place: Path):
    with uplink_to(engine, place, Reports()) as uplink:
        for number in range(RECORDS_KEPT + 5):
            uplink.record(record(number))
        with lvsd_at(place) as lvsd:
            meet(engine, lvsd, lambda: len(lvsd.records) == RECORDS_KEPT)
            assert lvsd.records[0] == record(5)


def test_many_changes_at_once_make_one_report(engine: Engine, place: Path):
    reports = Reports()
    with lvsd_at(place) as lvsd, uplink_to(engine, place, reports) as uplink:
        meet(engine, lvsd, lambda: bool(lvsd.reports))
        for _ in range(50):
            uplink.want_report()
        meet(engine, lvsd, lambda: len(lvsd.reports) == 2)
        end = engine.now() + 3 * REPORT_SPACING
        meet(engine, lvsd, lambda: engine.now() > end)
        assert reports.made == 2


def test_a_change_is_reported_soon(engine: Engine, place: Path):
    with lvsd_at(place) as lvsd, uplink_to(engine, place, Reports()) as uplink:
        meet(engine, lvsd, lambda: bool(lvsd.reports))
        uplink.want_report()
        assert uplink.deadline is not None
        assert uplink.deadline - engine.now() <= REPORT_SPACING
        meet(engine, lvsd, lambda: len(lvsd.reports) == 2)


def test_a_changed_reason_alone_may_wait_and_goes_with_the_next_change(engine: Engine, place: Path):
    with lvsd_at(place) as lvsd, uplink_to(engine, place, Reports()) as uplink:
        meet(engine, lvsd, lambda: bool(lvsd.reports))
        uplink.want_report(reasons_only=True)
        assert uplink.deadline is not None
        assert uplink.deadline - engine.now() > 0.5
        uplink.want_report()
        assert uplink.deadline - engine.now() <= REPORT_SPACING


def test_a_reader_that_is_slow_gets_the_latest_report_and_not_all_of_them(engine: Engine, place: Path):
    reports = Reports(targets=5000)
    with lvsd_at(place) as lvsd, uplink_to(engine, place, reports) as uplink:
        end = engine.now() + 1.0
        while engine.now() < end:  # lvsd reads nothing
            uplink.want_report()
            engine.turn(longest=0.01)
        made = reports.made
        assert made < 40
        uplink.want_report()
        meet(engine, lvsd, lambda: bool(lvsd.reports) and int(lvsd.reports[-1].config_digest) > made)


def test_the_health_of_ten_thousand_goes_through(engine: Engine, place: Path):
    with lvsd_at(place) as lvsd, uplink_to(engine, place, Reports(targets=10_000)):
        meet(engine, lvsd, lambda: bool(lvsd.reports))
        assert len(lvsd.reports[0].targets) == 10_000


def test_closing_says_what_is_left_to_say(engine: Engine, place: Path):
    with lvsd_at(place) as lvsd:
        uplink = Uplink(engine, place, report=Reports())
        meet(engine, lvsd, lambda: bool(lvsd.reports))
        uplink.want_report()
        uplink.close()
        lvsd.until(lambda: len(lvsd.reports) == 2, patience=PATIENCE)
