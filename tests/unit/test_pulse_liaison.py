"""The line to lvsd."""

from pathlib import Path

import pytest

from shoal.ipc.messages import FailoverReply, FailoverRequest, Hello, Message, Record, RoleReport
from shoal.pulse.liaison import RECORDS_KEPT, REPORT_GAP, RETRY, Liaison
from shoal.system.channel import Channel, listen


def report(epoch: int = 1) -> RoleReport:
    return RoleReport(
        router="a", state="active", epoch=epoch, since=1.0, links={}, addresses=(), peers=(), rejected={}
    )


def record(number: int) -> Record:
    return Record(at=float(number), source="pulse", event="test")


class Lvsd:
    """The other end."""

    def __init__(self, path: Path) -> None:
        self.listener = listen(path)
        self.channel: Channel | None = None

    def accept(self) -> None:
        sock, _ = self.listener.accept()
        self.channel = Channel(sock)

    def heard(self) -> list[Message] | None:
        assert self.channel is not None
        return self.channel.receive()

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()
        self.listener.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ipc.sock"


def hang_up(*ends: Lvsd | Liaison) -> None:
    for end in ends:
        if isinstance(end, Lvsd):
            end.close()
        else:
            end.close(report(), now=1e9)


def test_it_says_hello_then_the_role_then_what_was_recorded_meanwhile(path: Path) -> None:
    liaison = Liaison(path)
    liaison.record(record(1))
    assert liaison.service(report(), now=0.0) == RETRY
    liaison.record(record(2))
    lvsd = Lvsd(path)
    assert liaison.service(report(), now=0.1) == RETRY
    assert liaison.fileno() is None
    liaison.service(report(), now=RETRY)
    liaison.service(report(), now=RETRY)
    lvsd.accept()
    heard = lvsd.heard()
    assert heard is not None
    assert isinstance(heard[0], Hello)
    assert heard[1:] == [report(), record(1), record(2)]
    hang_up(liaison, lvsd)


def test_the_role_is_told_on_change_and_twenty_times_a_second_at_most(path: Path) -> None:
    lvsd, liaison = Lvsd(path), Liaison(path)
    liaison.service(report(1), now=1.0)
    lvsd.accept()
    lvsd.heard()
    assert liaison.service(report(1), now=2.0) is None
    assert liaison.service(report(2), now=2.0) is None
    assert liaison.service(report(3), now=2.01) == 2.0 + REPORT_GAP
    assert liaison.service(report(4), now=2.0 + REPORT_GAP) is None
    assert lvsd.heard() == [report(2), report(4)]
    hang_up(liaison, lvsd)


def test_a_returning_lvsd_hears_everything_anew(path: Path) -> None:
    lvsd, liaison = Lvsd(path), Liaison(path)
    liaison.service(report(), now=1.0)
    lvsd.accept()
    lvsd.close()
    assert liaison.receive() == []
    assert liaison.fileno() is None
    liaison.record(record(1))
    again = Lvsd(path)
    liaison.service(report(), now=1.0 + RETRY)
    liaison.service(report(), now=1.0 + RETRY)
    again.accept()
    heard = again.heard()
    assert heard is not None
    assert heard[1:] == [report(), record(1)]
    hang_up(liaison, again)


def test_requests_come_in_and_replies_go_out(path: Path) -> None:
    lvsd, liaison = Lvsd(path), Liaison(path)
    liaison.service(report(), now=1.0)
    lvsd.accept()
    lvsd.heard()
    assert lvsd.channel is not None
    lvsd.channel.send(FailoverRequest(id=5))
    assert liaison.receive() == [FailoverRequest(id=5)]
    liaison.reply(FailoverReply(id=5, accepted=True))
    assert lvsd.heard() == [FailoverReply(id=5, accepted=True)]
    hang_up(liaison, lvsd)


def test_the_oldest_records_go_when_lvsd_is_away_for_long(path: Path) -> None:
    liaison = Liaison(path)
    for number in range(RECORDS_KEPT + 10):
        liaison.record(record(number))
    lvsd = Lvsd(path)
    liaison.service(report(), now=1.0)
    lvsd.accept()
    heard: list[Message] = []
    while len(heard) < RECORDS_KEPT + 2:
        liaison.service(report(), now=1.0)
        heard += lvsd.heard() or []
    assert heard[2:] == [record(number) for number in range(10, RECORDS_KEPT + 10)]
    hang_up(liaison, lvsd)
