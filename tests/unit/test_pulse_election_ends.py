"""The election: hand-overs, stops, pauses and what must never happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InternalError
from shoal.model import RouterState
from shoal.pulse import events
from shoal.pulse.election import HANDOVER_LIMIT, Election
from shoal.pulse.events import Command
from shoal.pulse.nouns import Flag
from shoal.pulse.standing import TRANSITIONS
from support.elections import (
    ACTIVE,
    BACKUP,
    INIT,
    LINKS,
    Voices,
    active,
    kinds,
    settings,
    started,
)


def test_a_stop_hands_over_and_ends_when_the_heir_has_claimed() -> None:
    election, voices = active()
    commands = election.handle(events.StopRequested(), now=1.0)
    told = commands[-1]
    assert isinstance(told, events.SendHeartbeat)
    assert told.report.says(Flag.RESIGN)
    assert election.state is ACTIVE
    commands = election.handle(voices.say(ACTIVE, epoch=2), now=1.01)
    assert kinds(commands) == [
        "router.backup",
        "BeginHandover",
        "RenewLease",
        "ReleaseAddresses",
        "SendHeartbeat",
        "Stop",
    ]
    assert (election.ended, election.deadline) == (True, None)


def test_a_stop_waits_half_a_second_at_most() -> None:
    election, voices = active()
    election.handle(events.StopRequested(), now=1.0)
    commands: tuple[Command, ...] = ()
    while not election.ended:
        assert election.deadline is not None
        now = election.deadline
        election.handle(voices.say(BACKUP), now=now)
        commands = election.handle(events.DeadlineReached(), now=now)
    assert now == 1.0 + HANDOVER_LIMIT
    assert kinds(commands)[-1] == "Stop"


def test_only_the_heir_is_asked() -> None:
    election, _ = started(("b", 50), ("c", 60))
    voices = Voices()
    election.handle(voices.say(INIT, epoch=0), now=0.01)
    election.handle(voices.say(INIT, epoch=0, sender="c", priority=60), now=0.01)
    commands = election.handle(events.FailoverRequested(id=7, to="b"), now=1.0)
    told = {c.peers: c.report.says(Flag.RESIGN) for c in commands if isinstance(c, events.SendHeartbeat)}
    assert told == {("c",): False, ("b",): True}
    assert events.AnswerFailover(id=7, accepted=True) in commands


def test_a_failover_that_nobody_answers_is_given_up_and_recorded() -> None:
    election, voices = active()
    election.handle(events.FailoverRequested(id=7), now=0.1)
    election.handle(voices.say(BACKUP), now=0.5)
    commands = election.handle(events.DeadlineReached(), now=0.6)
    assert "failover.failed" in kinds(commands)
    assert election.state is ACTIVE
    assert not any(
        c.report.says(Flag.RESIGN)
        for c in election.handle(events.AnswerDue(peer="b", path="public"), now=0.61)
        if isinstance(c, events.SendHeartbeat)
    )


def test_a_paused_active_router_is_quiet_until_it_has_listened() -> None:
    election, voices = active()
    assert kinds(election.handle(events.Woke(gap=5.0), now=6.0)) == ["router.woke"]
    assert election.deadline == 6.2
    assert kinds(election.handle(events.AnswerDue(peer="b", path="public"), now=6.0)) == []
    assert kinds(election.handle(voices.say(BACKUP), now=6.1)) == []
    commands = election.handle(events.DeadlineReached(), now=6.2)
    assert kinds(commands) == ["SendHeartbeat", "RenewLease", "Announce"]
    assert election.epoch == 1


def test_a_paused_active_router_that_was_replaced_never_renews_its_lease() -> None:
    election, voices = active()
    election.handle(events.Woke(gap=5.0), now=6.0)
    commands = election.handle(voices.say(ACTIVE, epoch=2), now=6.0)
    assert election.state is BACKUP
    assert events.RenewLease(until=6.0) in commands


def test_a_short_stall_is_no_pause() -> None:
    election, _ = active()
    assert "router.woke" not in kinds(election.handle(events.Woke(gap=0.29), now=1.0))
    assert "RenewLease" in kinds(election.handle(events.DeadlineReached(), now=1.0))


def test_a_router_that_held_the_addresses_is_preferred_to_a_better_one() -> None:
    election, _ = started(("b", 50))
    voices = Voices()
    election.handle(voices.say(INIT, epoch=0, flags=Flag.READY | Flag.HOLDING), now=0.01)
    assert election.state is INIT


def test_a_router_that_starts_does_not_touch_what_it_holds_until_it_knows() -> None:
    _, commands = started(("b", 50), holding=True)
    assert kinds(commands) == ["router.init", "SendHeartbeat"]


def test_a_router_without_dataplane_faults_after_listening_and_starts_anew_with_one() -> None:
    election, _ = started(ready=False)
    assert election.state is INIT
    commands = election.handle(events.DeadlineReached(), now=0.3)
    assert kinds(commands) == ["router.fault", "ReleaseAddresses"]
    commands = election.handle(events.DataplaneChanged(ready=True), now=9.0)
    assert kinds(commands)[:2] == ["router.init", "router.active"]


def test_new_settings_are_told_and_new_addresses_acquired() -> None:
    election, _ = active()
    commands = election.handle(events.Reconfigured(settings=settings(("b", 50), priority=7)), now=1.0)
    assert kinds(commands) == ["AcquireAddresses", "RenewLease", "SendHeartbeat"]
    assert election.report.priority == 7


def test_repaired_addresses_are_announced() -> None:
    election, _ = active()
    while election.deadline is not None and election.deadline < 1.0:
        election.handle(events.DeadlineReached(), now=election.deadline)
    election.handle(events.AddressesRepaired(addresses=("192.0.2.1/32",)), now=1.0)
    assert "Announce" in kinds(election.handle(events.DeadlineReached(), now=1.0))


def test_an_event_before_the_start_raises_and_changes_nothing() -> None:
    election = Election(settings())
    with pytest.raises(InternalError, match="starts once"):
        election.handle(events.DeadlineReached(), now=0.0)
    assert election.deadline is None
    assert election.state is INIT


def test_a_second_start_raises_and_changes_nothing() -> None:
    election, voices = active()
    report = election.report
    with pytest.raises(InternalError, match="starts once"):
        election.handle(events.Start(holding=False, links=LINKS, dataplane_ready=True), now=1.0)
    assert election.report == report
    del voices


def test_an_event_after_the_end_raises() -> None:
    election, _ = started()
    election.handle(events.StopRequested(), now=1.0)
    with pytest.raises(InternalError, match="ended"):
        election.handle(events.DeadlineReached(), now=2.0)


def test_every_state_can_be_left_and_reached() -> None:
    assert set(TRANSITIONS) == set(RouterState)
    assert set().union(*TRANSITIONS.values()) == set(RouterState)


def test_a_transition_that_is_not_in_the_table_raises() -> None:
    election, _ = active()
    with pytest.raises(InternalError, match="no way from active to init"):
        election._enter(INIT, "nonsense")


steps = st.lists(
    st.tuples(
        st.floats(min_value=0, max_value=0.5),
        st.sampled_from(["hear", "deadline", "link", "dataplane", "woke", "failover", "answer"]),
        st.sampled_from(RouterState),
        st.integers(min_value=0, max_value=6),
        st.integers(min_value=0, max_value=63),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps)
def test_no_order_of_events_breaks_the_machine(
    script: list[tuple[float, str, RouterState, int, int, bool]],
) -> None:
    election, _ = started(("b", 50), ("c", 100))
    voices = Voices()
    now, holding = 0.0, False
    for wait, kind, state, epoch, flags, up in script:
        now += wait
        sender, path = ("b", "public") if up else ("c", "private")
        event: events.Event = {
            "hear": voices.say(
                state, epoch=epoch, flags=Flag(flags), sender=sender, links=(up, True), path=path
            ),
            "deadline": events.DeadlineReached(),
            "link": events.LinkChanged(path=path, up=up),
            "dataplane": events.DataplaneChanged(ready=up),
            "woke": events.Woke(gap=wait),
            "failover": events.FailoverRequested(id=1, to=sender if up else ""),
            "answer": events.AnswerDue(peer=sender, path=path),
        }[kind]
        before = election.epoch
        for command in election.handle(event, now=now):
            if isinstance(command, events.AcquireAddresses):
                holding = True
            elif isinstance(command, events.ReleaseAddresses):
                holding = False
            elif isinstance(command, events.RenewLease):
                assert command.until is not None
                assert command.until <= now + 0.25 + 1e-9
        assert election.epoch >= before
        assert holding == (election.state is ACTIVE) == election.holding
        assert election.deadline is not None
        if kind == "deadline":
            assert election.deadline > now
