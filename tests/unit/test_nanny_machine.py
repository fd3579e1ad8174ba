"""The health machine: what answers mean, and when it asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model import Health
from shoal.nanny.machine import (
    AbandonProbes,
    ChangeHealth,
    ChangeReason,
    DeadlineReached,
    HealthMachine,
    Outcome,
    ProbeEnded,
    Remembered,
    StartProbe,
    Verdict,
)

DUE = DeadlineReached()


def machine(
    *,
    interval: float = 1.0,
    timeout: float = 1.0,
    rise: int = 2,
    fall: int = 2,
    overlap: bool = True,
    remembered: Health | None = None,
) -> HealthMachine:
    return HealthMachine(
        interval=interval,
        timeout=timeout,
        rise=rise,
        fall=fall,
        first=0.0,
        regular=0.0,
        overlap=overlap,
        remembered=None if remembered is None else Remembered(remembered, "as before", -10.0),
    )


def ended(verdict: Verdict, reason: str = "") -> ProbeEnded:
    return ProbeEnded(Outcome(verdict, reason or str(verdict)))


def answer(target: HealthMachine, verdict: Verdict, reason: str = "") -> tuple[object, ...]:
    """The next probe, answered at once."""
    assert target.deadline is not None
    now = target.deadline
    assert target.handle(DUE, now=now) == (StartProbe(),)
    return target.handle(ended(verdict, reason), now=now)


def test_a_new_target_is_unknown_and_asked_at_once():
    target = machine()
    assert (target.health, target.reason, target.deadline) == (Health.UNKNOWN, "not probed yet", 0.0)


def test_the_first_pass_ever_brings_it_up():
    target = machine(rise=3)
    change = ChangeHealth(Health.UNKNOWN, Health.UP, "HTTP 200", 1, 1)
    assert answer(target, Verdict.PASS, "HTTP 200") == (change,)


def test_the_first_pass_ever_is_enough_also_after_failures():
    target = machine(rise=3, fall=1)
    answer(target, Verdict.FAIL)
    change = ChangeHealth(Health.DOWN, Health.UP, "HTTP 200", 1, 2)
    assert answer(target, Verdict.PASS, "HTTP 200") == (change,)


def test_unknown_goes_down_after_fall_failures():
    target = machine(fall=2)
    assert answer(target, Verdict.FAIL) == ()
    assert answer(target, Verdict.FAIL) == (ChangeHealth(Health.UNKNOWN, Health.DOWN, "fail", 2, 1),)


def test_an_up_server_goes_down_after_fall_failures_in_a_row():
    target = machine(fall=3)
    answer(target, Verdict.PASS)
    assert [answer(target, Verdict.FAIL, f"HTTP 50{n}") for n in range(3)] == [
        (),
        (),
        (ChangeHealth(Health.UP, Health.DOWN, "HTTP 502", 3, 2),),
    ]


def test_a_pass_between_failures_starts_the_count_again():
    target = machine(fall=2)
    answer(target, Verdict.PASS)
    for _ in range(5):
        answer(target, Verdict.FAIL)
        answer(target, Verdict.PASS)
    assert target.health is Health.UP


def test_a_server_that_was_up_before_needs_rise_passes_in_a_row():
    target = machine(rise=2, fall=1)
    answer(target, Verdict.PASS)
    answer(target, Verdict.FAIL)
    assert answer(target, Verdict.PASS) == ()
    answer(target, Verdict.FAIL)
    assert answer(target, Verdict.PASS) == ()
    assert answer(target, Verdict.PASS) == (ChangeHealth(Health.DOWN, Health.UP, "pass", 2, 3),)


def test_restored_up_stays_up_until_fall_failures():
    target = machine(fall=2, remembered=Health.UP)
    assert (target.health, target.reason, target.since) == (Health.UP, "as before", -10.0)
    assert answer(target, Verdict.FAIL) == ()
    assert answer(target, Verdict.FAIL) == (ChangeHealth(Health.UP, Health.DOWN, "fail", 2, 1),)


def test_restored_down_needs_rise_passes():
    target = machine(rise=2, remembered=Health.DOWN)
    assert answer(target, Verdict.PASS) == ()
    assert answer(target, Verdict.PASS) == (ChangeHealth(Health.DOWN, Health.UP, "pass", 2, 1),)


def test_what_it_remembers_restores_it():
    target = machine()
    answer(target, Verdict.PASS, "HTTP 204")
    assert target.remembered() == Remembered(Health.UP, "HTTP 204", 0.0)


def test_a_void_probe_changes_nothing():
    target = machine(fall=1)
    answer(target, Verdict.PASS)
    assert answer(target, Verdict.VOID) == ()
    assert (target.health, target.failures, target.deadline) == (Health.UP, 0, 2.0)


def test_the_reason_of_a_dead_server_may_change_without_its_health():
    target = machine(fall=1)
    answer(target, Verdict.FAIL, "connection refused")
    assert answer(target, Verdict.FAIL, "connection refused") == ()
    assert answer(target, Verdict.FAIL, "no route to host") == (ChangeReason("no route to host"),)


def test_an_early_deadline_starts_nothing():
    target = machine()
    answer(target, Verdict.PASS)
    assert target.handle(DUE, now=0.999) == ()
    assert target.deadline == 1.0


def test_an_outcome_that_nobody_waits_for_is_ignored():
    target = machine()
    assert target.handle(ended(Verdict.PASS), now=0.0) == ()
    assert target.health is Health.UNKNOWN


def test_regular_probes_keep_their_phase_whatever_the_answers_take():
    target = machine(interval=1.0, timeout=0.8)
    for start in (0.0, 1.0, 2.0, 3.0):
        assert target.deadline == start
        target.handle(DUE, now=start)
        target.handle(ended(Verdict.PASS), now=start + 0.3)


def test_missed_probes_are_not_made_up_for():
    target = machine(interval=1.0)
    answer(target, Verdict.PASS)
    assert target.handle(DUE, now=7.25) == (StartProbe(),)
    target.handle(ended(Verdict.PASS), now=7.25)
    assert target.deadline == 8.0


def test_a_failed_probe_of_an_up_server_is_repeated_soon():
    target = machine(interval=1.0)
    answer(target, Verdict.PASS)
    target.handle(DUE, now=1.0)
    target.handle(ended(Verdict.FAIL), now=1.001)
    assert target.deadline == 1.2


def test_the_repeat_comes_at_once_where_the_failure_took_longer():
    target = machine(interval=2.0, overlap=False)
    answer(target, Verdict.PASS)
    target.handle(DUE, now=2.0)
    target.handle(ended(Verdict.FAIL), now=3.0)
    assert target.deadline == 3.0


def test_a_down_server_is_asked_at_its_regular_times_only():
    target = machine(interval=1.0, fall=1)
    answer(target, Verdict.PASS)
    answer(target, Verdict.FAIL)
    assert target.deadline == 2.0
    answer(target, Verdict.FAIL)
    assert target.deadline == 3.0


def test_a_dead_process_is_out_within_an_interval_and_one_retry():
    target = machine(interval=1.0, fall=2)
    answer(target, Verdict.PASS)  # dies right after this
    while target.health is Health.UP:
        answer(target, Verdict.FAIL)
    assert target.since == 1.2


def test_a_silent_server_is_out_within_an_interval_and_one_and_a_half_timeouts():
    target = machine(interval=1.0, timeout=1.0, fall=2)
    answer(target, Verdict.PASS)  # falls silent right after this
    assert target.handle(DUE, now=1.0) == (StartProbe(),)
    assert target.deadline == 1.5
    assert target.handle(DUE, now=1.5) == (StartProbe(),)
    assert target.deadline is None
    assert target.handle(ended(Verdict.FAIL, "no connection"), now=2.0) == ()
    assert target.deadline is None
    assert target.handle(ended(Verdict.FAIL, "no connection"), now=2.5) == (
        ChangeHealth(Health.UP, Health.DOWN, "no connection", 2, 2),
    )


def test_one_answer_of_two_settles_both():
    target = machine()
    answer(target, Verdict.PASS)
    target.handle(DUE, now=1.0)
    target.handle(DUE, now=1.5)
    assert target.handle(ended(Verdict.PASS), now=1.6) == (AbandonProbes(),)
    assert target.deadline == 2.0


@pytest.mark.parametrize("health", [Health.DOWN, Health.UNKNOWN])
def test_only_an_up_server_is_asked_twice_at_a_time(health: Health):
    target = machine(remembered=health)
    target.handle(DUE, now=0.0)
    assert target.deadline is None


def test_a_second_probe_is_pointless_where_one_failure_is_enough():
    target = machine(fall=1, remembered=Health.UP)
    target.handle(DUE, now=0.0)
    assert target.deadline is None


def test_without_overlap_only_one_probe_runs():
    target = machine(overlap=False, remembered=Health.UP)
    target.handle(DUE, now=0.0)
    assert target.deadline is None


def test_after_a_probe_that_outlasted_the_interval_the_next_follows_at_once_and_then_the_phase_again():
    target = machine(interval=1.0, timeout=5.0, overlap=False)
    target.handle(DUE, now=0.0)
    assert target.deadline is None
    target.handle(ended(Verdict.PASS), now=3.4)
    assert target.handle(DUE, now=3.4) == (StartProbe(),)
    target.handle(ended(Verdict.PASS), now=3.5)
    assert target.deadline == 4.0


def test_flaps_are_counted_within_a_window():
    target = machine(rise=1, fall=1)
    for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.PASS):
        answer(target, verdict)
    assert target.flaps(now=2.0) == 3
    assert target.flaps(now=61.5) == 1
    assert target.flaps(now=62.0) == 0


verdicts = st.sampled_from(list(Verdict))


@given(
    st.lists(verdicts, max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([None, Health.UP, Health.DOWN]),
)
def test_health_follows_the_counts_whatever_the_answers(
    answers: list[Verdict], rise: int, fall: int, remembered: Health | None
):
    target = machine(rise=rise, fall=fall, remembered=remembered)
    expected = remembered or Health.UNKNOWN
    passed_ever = remembered is not None
    run: list[Verdict] = []
    for verdict in answers:
        answer(target, verdict)
        if verdict is Verdict.VOID:
            continue
        run = [*run, verdict] if run and run[-1] is verdict else [verdict]
        if verdict is Verdict.PASS and (len(run) >= rise or not passed_ever):
            expected = Health.UP
        if verdict is Verdict.FAIL and len(run) >= fall:
            expected = Health.DOWN
        passed_ever = passed_ever or verdict is Verdict.PASS
        assert target.health is expected


@given(
    st.lists(st.tuples(st.floats(0, 3), st.one_of(st.none(), verdicts)), max_size=80),
    st.sampled_from([0.1, 1.0, 7.0]),
    st.sampled_from([0.05, 1.0, 9.0]),
    st.booleans(),
)
def test_at_most_two_probes_run_and_a_target_never_falls_asleep(
    steps: list[tuple[float, Verdict | None]], interval: float, timeout: float, overlap: bool
):
    target = machine(interval=interval, timeout=timeout, overlap=overlap)
    now, running = 0.0, 0
    for wait, verdict in steps:
        now += wait
        commands = target.handle(DUE if verdict is None else ended(verdict), now=now)
        if verdict is not None:
            running = max(0, running - 1)
        running += sum(isinstance(command, StartProbe) for command in commands)
        if AbandonProbes() in commands:
            running = 0
        assert 0 <= running <= (2 if overlap else 1)
        assert running > 0 or (target.deadline is not None and target.deadline <= now + interval)
