"""The election machine, command by command. Whole clusters: tests/stories."""

import pytest

from shoal.pulse import events
from shoal.pulse.nouns import Flag
from support.elections import (
    ACTIVE,
    BACKUP,
    FAULT,
    INIT,
    Voices,
    active,
    backup,
    kinds,
    started,
)


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
