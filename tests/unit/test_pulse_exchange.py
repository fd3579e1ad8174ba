"""Sessions: who is alive now, and what is only a recording of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model import RouterState
from shoal.pulse.exchange import ANSWER_GAP, Exchange
from shoal.pulse.heartbeat import LENGTH, Codec, HeartbeatError, Received, Rejection
from shoal.pulse.nouns import Flag, Report

PATHS = ("private", "public")
REPORT = Report(state=RouterState.BACKUP, flags=Flag(0), priority=1, epoch=1, links=(True, True))


def exchange(name: str, session: int) -> Exchange:
    """Router ``a`` or ``b`` of a cluster of two."""
    codec = Codec(cluster="c", key=b"sixteen bytes at least", paths=PATHS)
    peer = "b" if name == "a" else "a"
    return Exchange(name=name, session=session, codec=codec, peers=(peer,), paths=PATHS, dead_time=0.3)


class Pair:
    """Two routers and the datagrams between them."""

    def __init__(self) -> None:
        self.a, self.b = exchange("a", 1), exchange("b", 2)
        self.now = 10.0

    def from_a(self, *, path: str = "public", answer: bool = False) -> bytes:
        return self.a.outgoing(REPORT, peer="b", path=path, now=self.now, answer=answer)

    def from_b(self, *, path: str = "public", answer: bool = False) -> bytes:
        return self.b.outgoing(REPORT, peer="a", path=path, now=self.now, answer=answer)

    def to_a(self, datagram: bytes, *, path: str = "public") -> Received:
        return self.a.incoming(datagram, peer="b", path=path, now=self.now)

    def to_b(self, datagram: bytes, *, path: str = "public") -> Received:
        return self.b.incoming(datagram, peer="a", path=path, now=self.now)

    def meet(self) -> None:
        """Prove each to the other."""
        self.to_b(self.from_a())
        self.to_a(self.from_b(answer=True))
        self.to_b(self.from_a(answer=True))


def reason(action: object, exchange: Exchange) -> Rejection:
    """Why a datagram is refused; and that it was counted."""
    before = sum(exchange.rejected.values())
    with pytest.raises(HeartbeatError) as refused:
        action()  # type: ignore[operator]
    assert sum(exchange.rejected.values()) == before + 1
    return refused.value.reason


def test_two_strangers_prove_themselves_in_three_datagrams() -> None:
    pair = Pair()
    hello = pair.to_b(pair.from_a())
    assert (hello.live, hello.answer) == (False, True)
    answer = pair.to_a(pair.from_b(answer=True))
    assert (answer.live, answer.answer) == (True, True)
    proof = pair.to_b(pair.from_a(answer=True))
    assert proof.live
    regular = pair.to_a(pair.from_b())
    assert (regular.live, regular.answer) == (True, False)


def test_the_same_datagram_counts_once() -> None:
    pair = Pair()
    pair.meet()
    datagram = pair.from_a()
    assert pair.to_b(datagram).live
    assert reason(lambda: pair.to_b(datagram), pair.b) == Rejection.REPLAYED


def test_an_older_datagram_of_the_session_is_refused() -> None:
    pair = Pair()
    pair.meet()
    older, newer = pair.from_a(), pair.from_a()
    assert pair.to_b(newer).live
    assert reason(lambda: pair.to_b(older), pair.b) == Rejection.REPLAYED


def test_a_datagram_of_one_path_is_refused_on_another() -> None:
    pair = Pair()
    pair.meet()
    datagram = pair.from_a(path="public")
    assert reason(lambda: pair.to_b(datagram, path="private"), pair.b) == Rejection.WRONG_PATH


def test_a_peer_cannot_speak_in_another_ones_name_nor_be_reflected() -> None:
    pair = Pair()
    own = pair.from_b()
    assert reason(lambda: pair.to_b(own), pair.b) == Rejection.UNKNOWN_SENDER
    assert (
        reason(lambda: pair.b.incoming(b"", peer="z", path="public", now=1.0), pair.b) == Rejection.TRUNCATED
    )
    other = pair.from_a()
    asked = lambda: pair.b.incoming(other, peer="z", path="public", now=1.0)  # noqa: E731
    assert reason(asked, pair.b) == Rejection.UNKNOWN_SENDER


def test_recordings_of_before_our_restart_are_only_hellos() -> None:
    pair = Pair()
    pair.meet()
    recorded = [pair.from_a() for _ in range(5)]
    pair.b = exchange("b", 3)
    assert [pair.to_b(datagram).live for datagram in recorded] == [False] * 5


def test_recordings_of_a_peers_earlier_start_are_refused_for_ever() -> None:
    pair = Pair()
    pair.meet()
    recorded = pair.from_a()
    pair.a = exchange("a", 4)
    pair.now += ANSWER_GAP
    pair.meet()
    assert reason(lambda: pair.to_b(recorded), pair.b) == Rejection.REPLAYED


def test_a_restarted_peer_is_believed_after_its_proof_and_not_before() -> None:
    pair = Pair()
    pair.meet()
    pair.a = exchange("a", 4)
    pair.now += ANSWER_GAP
    assert not pair.to_b(pair.from_a()).live
    assert pair.to_a(pair.from_b(answer=True)).live
    assert pair.to_b(pair.from_a(answer=True)).live


def test_recorded_hellos_do_not_change_what_regular_heartbeats_echo() -> None:
    pair = Pair()
    stranger = exchange("a", 99)
    hello = stranger.outgoing(REPORT, peer="b", path="public", now=pair.now)
    pair.meet()
    assert not pair.to_b(hello).live
    assert pair.to_a(pair.from_b()).live


def test_answers_to_hellos_are_few() -> None:
    pair = Pair()
    stranger = exchange("a", 99)
    answers = []
    for _ in range(100):
        pair.now += ANSWER_GAP / 10
        hello = stranger.outgoing(REPORT, peer="b", path="public", now=pair.now)
        answers.append(pair.to_b(hello).answer)
    assert 9 <= answers.count(True) <= 11


@given(st.lists(st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 255)), min_size=1, max_size=5))
def test_a_changed_datagram_changes_nothing(changes: list[tuple[int, int]]) -> None:
    pair = Pair()
    pair.meet()
    datagram = pair.from_a()
    changed = bytearray(datagram)
    for offset, mask in changes:
        changed[offset] ^= mask
    if changed != datagram:
        reason(lambda: pair.to_b(bytes(changed)), pair.b)
    assert pair.to_b(datagram).live


def test_loss_is_told_to_the_one_who_suffers_it() -> None:
    pair = Pair()
    pair.meet()
    for number in range(64):
        for path in PATHS:
            datagram = pair.from_a(path=path)
            if path == "public" or number % 4 == 0:
                pair.to_b(datagram, path=path) if number % 2 == 0 else None
    assert pair.to_a(pair.from_b()).heartbeat.loss == 50


def test_a_path_that_fell_silent_counts_as_lost() -> None:
    pair = Pair()
    pair.meet()
    pair.now += 0.31
    assert pair.to_a(pair.from_b()).heartbeat.loss == 100


def test_one_moment_has_one_stamp_and_a_changed_report_a_later_one() -> None:
    pair = Pair()
    pair.meet()
    first = pair.to_b(pair.from_a(path="public")).heartbeat
    second = pair.to_b(pair.from_a(path="private"), path="private").heartbeat
    assert first.stamp_ns == second.stamp_ns
    changed = Report(state=RouterState.ACTIVE, flags=Flag(0), priority=1, epoch=2, links=(True, True))
    third = pair.to_b(pair.a.outgoing(changed, peer="b", path="public", now=pair.now)).heartbeat
    assert third.stamp_ns == second.stamp_ns + 1
