"""The election machine, command by command. Whole clusters: tests/stories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InternalError
from shoal.model import RouterState
from shoal.pulse import events
from shoal.pulse.election import HANDOVER_LIMIT, Election
from shoal.pulse.events import Command, Record, Settings
from shoal.pulse.nouns import Flag, Heartbeat, Report
from shoal.pulse.standing import TRANSITIONS

LINKS = (("private", True), ("public", True))
INIT, BACKUP, ACTIVE, FAULT = RouterState.INIT, RouterState.BACKUP, RouterState.ACTIVE, RouterState.FAULT


def settings(*peers: tuple[str, int], priority: int = 100) -> Settings:
    """Of router ``a``."""
    return Settings(
        name="a",
        priority=priority,
        peers=peers,
        paths=("public", "private"),
        heartbeat_interval=0.1,
        dead_time=0.3,
    )


def started(
    *peers: tuple[str, int], ready: bool = True, holding: bool = False
) -> tuple[Election, tuple[Command, ...]]:
    """Router ``a``, started at time 0, and its first commands."""
    election = Election(settings(*peers))
    start = events.Start(holding=holding, links=LINKS, dataplane_ready=ready)
    return election, election.handle(start, now=0.0)


class Voices:
    """Makes the heartbeats of peers."""

    def __init__(self) -> None:
        self.sequence = 0

    def say(
        self,
        state: RouterState,
        *,
        sender: str = "b",
        epoch: int = 1,
        flags: Flag = Flag.READY,
        links: tuple[bool, ...] = (True, True),
        path: str = "public",
        priority: int = 50,
    ) -> events.HeartbeatReceived:
        self.sequence += 1
        report = Report(state=state, flags=flags, priority=priority, epoch=epoch, links=links)
        return events.HeartbeatReceived(
            heartbeat=Heartbeat(
                sender=sender,
                session=1,
                echo=1,
                sequence=self.sequence,
                path=path,
                stamp_ns=self.sequence,
                loss=0,
                report=report,
            )
        )


def kinds(commands: tuple[Command, ...]) -> list[str]:
    """Names of the commands; records by their event."""
    return [c.event if isinstance(c, Record) else type(c).__name__ for c in commands]


def active() -> tuple[Election, Voices]:
    """Router ``a`` serves with epoch 1, ``b`` is its living backup."""
    election, _ = started(("b", 50))
    voices = Voices()
    election.handle(voices.say(INIT, epoch=0), now=0.01)
    assert election.state is ACTIVE
    election.handle(voices.say(BACKUP), now=0.02)
    return election, voices


def backup() -> tuple[Election, Voices]:
    """Router ``a`` follows ``b``, which serves with epoch 5."""
    election, _ = started(("b", 50))
    voices = Voices()
    election.handle(voices.say(ACTIVE, epoch=5), now=0.01)
    assert election.state is BACKUP
    return election, voices


def test_a_router_without_peers_serves_at_once_with_the_lease_off() -> None:
    election, commands = started()
    assert kinds(commands) == [
        "router.init",
        "router.active",
        "BeginHandover",
        "RenewLease",
        "AcquireAddresses",
        "Announce",
    ]
    assert commands[3] == events.RenewLease(until=None)
    assert (election.state, election.epoch) == (ACTIVE, 1)


def test_a_take_over_answers_first_then_announces_then_tells() -> None:
    election, _ = started(("b", 50))
    commands = election.handle(Voices().say(INIT, epoch=0), now=0.01)
    assert kinds(commands) == [
        "peer.heard",
        "router.active",
        "BeginHandover",
        "RenewLease",
        "AcquireAddresses",
        "Announce",
        "SendHeartbeat",
    ]
    assert commands[3] == events.RenewLease(until=0.01 + 0.3 - 0.05)
    told = commands[-1]
    assert isinstance(told, events.SendHeartbeat)
    assert (told.report.state, told.report.epoch, told.peers) == (ACTIVE, 1, ("b",))
    assert told.report.flags == Flag.CLAIM | Flag.HOLDING | Flag.READY


def test_a_lonely_router_listens_for_the_dead_time_and_a_skew_for_each_better_one() -> None:
    for peers, until in (((("b", 50),), 0.3), ((("b", 200),), 0.4), ((("b", 200), ("c", 100)), 0.5)):
        election, _ = started(*peers)
        while (now := election.deadline) is not None and now < until:
            election.handle(events.DeadlineReached(), now=now)
            assert election.state is INIT
        election.handle(events.DeadlineReached(), now=until)
        assert election.state is ACTIVE


def test_a_backup_takes_over_when_every_path_was_silent_for_the_dead_time_and_not_before() -> None:
    election, voices = backup()
    election.handle(voices.say(ACTIVE, epoch=5, path="private"), now=0.1)
    election.handle(events.DeadlineReached(), now=0.31)  # public went silent
    election.handle(events.DeadlineReached(), now=0.399)
    assert election.state is BACKUP
    election.handle(events.DeadlineReached(), now=0.1 + 0.3)
    assert (election.state, election.epoch) == (ACTIVE, 6)


def test_silence_counts_only_after_the_sockets_were_drained() -> None:
    election, voices = backup()
    election.handle(voices.say(ACTIVE, epoch=5), now=7.0)  # late, but here before any DeadlineReached
    election.handle(events.DeadlineReached(), now=7.0)
    assert election.state is BACKUP


@pytest.mark.parametrize("flag", [Flag.RESIGN, Flag.RESIGN | Flag.STOPPING])
def test_a_backup_that_is_asked_takes_over_at_receipt(flag: Flag) -> None:
    election, voices = backup()
    commands = election.handle(voices.say(ACTIVE, epoch=5, flags=flag), now=0.05)
    assert (election.state, election.epoch) == (ACTIVE, 6)
    assert "AcquireAddresses" in kinds(commands)


def test_a_backup_whose_dataplane_is_gone_does_not_take_over_though_asked() -> None:
    election, voices = backup()
    election.handle(events.DataplaneChanged(ready=False), now=0.04)
    election.handle(voices.say(ACTIVE, epoch=5, flags=Flag.RESIGN), now=0.05)
    assert election.state is FAULT


def test_a_backup_takes_over_at_receipt_from_one_that_lost_a_link() -> None:
    election, voices = backup()
    election.handle(voices.say(ACTIVE, epoch=5, links=(True, False)), now=0.05)
    assert (election.state, election.epoch) == (ACTIVE, 6)


def test_an_advantage_of_our_own_must_last_for_the_dead_time() -> None:
    election, voices = backup()
    election.handle(events.LinkChanged(path="public", up=False), now=0.05)
    election.handle(voices.say(ACTIVE, epoch=5, links=(True, False)), now=0.06)
    assert election.state is BACKUP
    election.handle(events.LinkChanged(path="public", up=True), now=0.10)
    for now in (0.2, 0.3):
        election.handle(voices.say(ACTIVE, epoch=5, links=(True, False)), now=now)
        assert election.state is BACKUP
    assert election.deadline is not None
    assert election.deadline <= 0.4
    election.handle(events.DeadlineReached(), now=0.4)
    assert election.state is ACTIVE


def test_the_active_router_lets_go_when_it_hears_a_higher_epoch() -> None:
    election, voices = active()
    commands = election.handle(voices.say(ACTIVE, epoch=2), now=1.0)
    assert kinds(commands) == [
        "router.backup",
        "BeginHandover",
        "RenewLease",
        "ReleaseAddresses",
        "SendHeartbeat",
    ]
    assert commands[2] == events.RenewLease(until=1.0)


def test_equal_epochs_are_decided_by_rank() -> None:
    for priority, state in ((50, ACTIVE), (200, BACKUP)):
        election, voices = active()
        election.handle(
            voices.say(ACTIVE, epoch=1, priority=priority, flags=Flag.READY | Flag.HOLDING), now=1.0
        )
        assert election.state is state


def test_the_winner_of_a_contest_says_so_once_a_second_at_most() -> None:
    election, voices = active()
    announced = []
    now = 1.0
    while now < 4.0:
        commands = election.handle(voices.say(ACTIVE, epoch=0), now=now)
        assert events.SendHeartbeat in [type(command) for command in commands]
        if election.deadline is not None and election.deadline <= now:
            commands += election.handle(events.DeadlineReached(), now=now)
        announced += [now for command in commands if isinstance(command, events.Announce)]
        now += 0.05
    assert len(announced) <= 1 + 2 * 5


def test_a_peer_that_follows_another_active_router_is_believed() -> None:
    election, voices = active()
    election.handle(voices.say(BACKUP, epoch=9, flags=Flag.READY | Flag.FOLLOWING), now=1.0)
    assert election.state is BACKUP


def test_an_active_router_overtakes_epochs_it_did_not_know() -> None:
    election, voices = active()
    election.handle(voices.say(BACKUP, epoch=9), now=1.0)
    assert (election.state, election.epoch) == (ACTIVE, 10)


def test_a_lost_link_is_told_at_once_on_the_living_path() -> None:
    election, _ = active()
    commands = election.handle(events.LinkChanged(path="public", up=False), now=1.0)
    assert kinds(commands) == ["link.down", "SendHeartbeat"]
    told = commands[1]
    assert isinstance(told, events.SendHeartbeat)
    assert (told.paths, told.report.links) == (("private",), (True, False))


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
