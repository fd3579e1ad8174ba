"""The engine: readiness, timeouts, deadlines, and many attempts at once."""

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Iterator

import pytest

from shoal.model import HttpProbe, ProgramProbe, TcpProbe
from shoal.nanny.engine import COSTLY_AT_ONCE, Engine, Timed
from shoal.nanny.machine import Outcome, Verdict
from shoal.nanny.probes import prepare
from shoal.nanny.probes.base import Attempt
from support.health_checks import ask, closed_port, question, turn_until, wait_until

_PROBES = {"silent": HttpProbe(), "closed": TcpProbe(), "open": TcpProbe()}


class Alarm(Timed):
    """Notes when it was due."""

    def __init__(self, deadline: float | None) -> None:
        super().__init__(deadline)
        self.seen: list[float] = []

    def due(self, now: float) -> None:
        self.seen.append(now)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scripted(Attempt):
    """An attempt on one end of a socket pair, that ends with the text it receives."""

    def __init__(self, *, at_once: Outcome | None = None) -> None:
        self.mine, self.other = socket.socketpair()
        self.mine.setblocking(False)
        self.at_once = at_once
        self.closed = 0
        self.wants = select.EPOLLIN

    def open(self) -> Outcome | None:
        return self.at_once

    def fileno(self) -> int:
        return self.mine.fileno()

    def ready(self) -> Outcome | None:
        try:
            return Outcome(Verdict.PASS, self.mine.recv(100).decode())
        except BlockingIOError:
            return None

    def stalled(self) -> str:
        return "no word"

    def close(self) -> None:
        self.closed += 1
        self.mine.close()

    def drop(self) -> None:
        self.mine.close()
        self.other.close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    with contextlib.closing(Engine()) as engine:
        yield engine


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    attempt = Scripted()
    yield attempt
    attempt.drop()


def test_an_attempt_ends_once_with_its_outcome_and_is_closed(engine: Engine, scripted: Scripted):
    outcomes: list[Outcome] = []
    running = engine.start(scripted, timeout=5.0, ended=lambda outcome, _: outcomes.append(outcome))
    scripted.other.send(b"well")
    turn_until(engine, lambda: bool(outcomes))
    engine.turn(longest=0.02)
    assert (outcomes, scripted.closed) == ([Outcome(Verdict.PASS, "well")], 1)
    assert (running.over, engine.in_flight) == (True, 0)


def test_an_attempt_that_waits_too_long_fails_with_what_it_waited_for(engine: Engine, scripted: Scripted):
    outcomes: list[Outcome] = []
    began = time.monotonic()
    engine.start(scripted, timeout=0.1, ended=lambda outcome, _: outcomes.append(outcome))
    turn_until(engine, lambda: bool(outcomes))
    assert outcomes == [Outcome(Verdict.FAIL, "no word within 0.1 s")]
    assert time.monotonic() - began >= 0.1
    assert scripted.closed == 1


def test_an_abandoned_attempt_has_no_outcome(engine: Engine, scripted: Scripted):
    outcomes: list[Outcome] = []
    running = engine.start(scripted, timeout=0.05, ended=lambda outcome, _: outcomes.append(outcome))
    engine.abandon(running)
    engine.abandon(running)
    alarm = Alarm(engine.now() + 0.1)
    engine.wake(alarm)
    turn_until(engine, lambda: bool(alarm.seen))
    assert (outcomes, scripted.closed, engine.in_flight) == ([], 1, 0)


def test_an_outcome_at_once_is_delivered_after_start_has_returned(engine: Engine):
    refused = Outcome(Verdict.FAIL, "no route to host")
    attempt = Scripted(at_once=refused)
    outcomes: list[Outcome] = []
    engine.start(attempt, timeout=1.0, ended=lambda outcome, _: outcomes.append(outcome))
    assert outcomes == []
    turn_until(engine, lambda: bool(outcomes))
    assert (outcomes, attempt.closed) == ([refused], 0)
    attempt.drop()


def test_readiness_of_an_ended_attempt_is_not_taken_for_that_of_the_next_on_its_descriptor(engine: Engine):
    first, second, third = Scripted(), Scripted(), Scripted()
    outcomes: list[str] = []
    engine.start(
        first,
        timeout=5.0,
        ended=lambda outcome, _: (engine.abandon(other), outcomes.append(f"first {outcome.reason}")),
    )
    other = engine.start(second, timeout=5.0, ended=lambda outcome, _: outcomes.append("second"))
    engine.start(
        third,
        timeout=5.0,
        ended=lambda outcome, _: (outcomes.append("third"),),
    )
    for attempt in (first, second):
        attempt.other.send(b"x")
    turn_until(engine, lambda: bool(outcomes))
    engine.turn(longest=0.02)
    assert outcomes == ["first x"]
    for attempt in (first, second, third):
        attempt.drop()


def test_a_deadline_is_met_not_early_and_only_once(engine: Engine):
    alarm = Alarm(engine.now() + 0.03)
    engine.wake(alarm)
    engine.wake(alarm)
    turn_until(engine, lambda: bool(alarm.seen))
    engine.turn(longest=0.03)
    assert len(alarm.seen) == 1
    assert alarm.deadline is not None
    assert alarm.seen[0] >= alarm.deadline


def test_a_deadline_that_moved_later_is_waited_for_anew():
    clock = Clock()
    with contextlib.closing(Engine(clock=clock)) as engine:
        alarm = Alarm(clock.now + 1)
        engine.wake(alarm)
        alarm.deadline = clock.now + 3
        clock.now += 2
        engine.turn(longest=0)
        assert alarm.seen == []
        clock.now += 2
        engine.turn(longest=0)
        assert alarm.seen == [1004.0]


def test_a_deadline_that_moved_earlier_is_met_and_leaves_nothing_in_the_wheel():
    clock = Clock()
    with contextlib.closing(Engine(clock=clock)) as engine:
        alarm = Alarm(clock.now + 3)
        engine.wake(alarm)
        alarm.deadline = clock.now + 1
        engine.wake(alarm)
        clock.now += 2
        engine.turn(longest=0)
        assert alarm.seen == [1002.0]
        alarm.deadline = None
        clock.now += 10
        engine.turn(longest=0)
        assert alarm.seen == [1002.0]
        assert len(engine._wheel) == 0


def test_moving_a_deadline_to_and_fro_does_not_fill_the_wheel():
    clock = Clock()
    with contextlib.closing(Engine(clock=clock)) as engine:
        alarm = Alarm(None)
        for step in range(2000):
            alarm.deadline = clock.now + (0.2 if step % 2 else 2.0)
            engine.wake(alarm)
            clock.now += 0.05
            engine.turn(longest=0)
        assert len(engine._wheel) < 60


def test_no_deadline_is_no_wake():
    clock = Clock()
    with contextlib.closing(Engine(clock=clock)) as engine:
        alarm = Alarm(None)
        engine.wake(alarm)
        clock.now += 100
        engine.turn(longest=0)
        assert alarm.seen == []


def test_a_watched_descriptor_is_heard_until_it_is_unwatched(engine: Engine):
    mine, other = socket.socketpair()
    heard: list[int] = []
    with mine, other:
        engine.watch(mine.fileno(), events=select.EPOLLIN, ready=heard.append)
        other.send(b"x")
        engine.turn(longest=1.0)
        engine.unwatch(mine.fileno())
        engine.turn(longest=0.0)
    assert heard == [select.EPOLLIN]


def test_three_hundred_targets_are_asked_at_once_in_one_thread(engine: Engine):
    outcomes: dict[int, Outcome] = {}
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as patient:
        # `patient` never accepts, the kernel does: three kinds of targets, a hundred each
        ports = {
            "silent": patient.getsockname()[1],
            "closed": closed_port(),
            "open": patient.getsockname()[1],
        }
        descriptors = len(os.listdir("/proc/self/fd"))
        for number in range(300):
            kind = ("silent", "closed", "open")[number % 3]
            asked = question(ports[kind], _PROBES[kind], timeout=0.3)
            engine.start(
                prepare(asked)(),
                timeout=asked.timeout,
                ended=lambda outcome, _, number=number: outcomes.update({number: outcome}),
            )
        assert engine.in_flight >= 200
        turn_until(engine, lambda: len(outcomes) == 300)
        assert len(os.listdir("/proc/self/fd")) == descriptors
    kinds = [{outcomes[number] for number in range(kind, 300, 3)} for kind in range(3)]
    assert kinds == [
        {Outcome(Verdict.FAIL, "connected, but no answer within 0.3 s")},
        {Outcome(Verdict.FAIL, "connection refused")},
        {Outcome(Verdict.PASS, "connected")},
    ]


def test_only_so_many_programs_run_at_a_time_and_the_others_wait_for_their_turn(engine: Engine):
    outcomes: list[Outcome] = []
    count = COSTLY_AT_ONCE * 2 + 3
    peak = 0
    for _ in range(count):
        attempt = prepare(question(80, ProgramProbe(command=("sleep", "0.05"))))()
        engine.start(attempt, timeout=5.0, ended=lambda outcome, _: outcomes.append(outcome))

    def all_ended() -> bool:
        nonlocal peak
        peak = max(peak, engine.in_flight)
        return len(outcomes) == count

    turn_until(engine, all_ended)
    assert peak == COSTLY_AT_ONCE
    assert {outcome.verdict for outcome in outcomes} == {Verdict.PASS}


def test_a_waiting_program_may_be_abandoned(engine: Engine):
    outcomes: list[Outcome] = []
    make = prepare(question(80, ProgramProbe(command=("sleep", "0.05"))))
    running = [
        engine.start(make(), timeout=5.0, ended=lambda outcome, _: outcomes.append(outcome))
        for _ in range(COSTLY_AT_ONCE + 2)
    ]
    engine.abandon(running[COSTLY_AT_ONCE])
    turn_until(engine, lambda: len(outcomes) == COSTLY_AT_ONCE + 1)
    assert engine.in_flight == 0


def test_closing_kills_running_programs():
    engine = Engine()
    engine.start(
        prepare(question(80, ProgramProbe(command=("sleep", "61.25"))))(),
        timeout=5.0,
        ended=lambda outcome, _: None,
    )
    try:
        wait_until(lambda: _sleepers() == 1)  # a moment passes until a new process has its arguments
    finally:
        engine.close()
    wait_until(lambda: _sleepers() == 0)


def _sleepers() -> int:
    """Processes of the program that the test above runs."""
    found = 0
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            found += file.read() == b"sleep\x0061.25\x00"
    return found


def test_a_router_without_descriptors_learns_nothing_about_its_servers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    def none_left(*arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    port = closed_port()
    monkeypatch.setattr(socket, "socket", none_left)
    assert ask(question(port), engine=engine) == Outcome(Verdict.VOID, "too many open files")
