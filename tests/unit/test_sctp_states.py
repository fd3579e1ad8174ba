"""The SCTP state machine is that of IPVS (kernel net/netfilter/ipvs/ip_vs_proto_sctp.c)."""

import pytest

from shoal.model import ConnectionState
from shoal.model.connection import Direction
from shoal.model.sctp_states import TRANSITIONS, SctpChunk, SctpEvent, sctp_event
from shoal.model.states import TIMEOUTS

IN, OUT, IN_ONLY = Direction.INPUT, Direction.OUTPUT, Direction.INPUT_ONLY


def follow(*events: tuple[Direction, SctpEvent]) -> list[str]:
    """The states that an association goes through from NONE, without what they all begin with."""
    state, states = ConnectionState.NONE, []
    for direction, event in events:
        state = TRANSITIONS[direction][event][state]
        states.append(str(state).removeprefix("sctp_"))
    return states


def test_every_direction_and_event_has_a_next_state_for_every_sctp_state():
    sctp = {state for state in ConnectionState if state.value.startswith("sctp_")} | {ConnectionState.NONE}
    for direction in Direction:
        assert TRANSITIONS[direction].keys() == set(SctpEvent)
        for row in TRANSITIONS[direction].values():
            assert row.keys() == sctp
            assert set(row.values()) <= sctp


def test_an_association_is_set_up_and_shut_down_by_the_client():
    assert follow(
        (IN, SctpEvent.INIT),
        (OUT, SctpEvent.INIT_ACK),
        (IN, SctpEvent.COOKIE_ECHO),
        (OUT, SctpEvent.COOKIE_ACK),
        (IN, SctpEvent.DATA),
        (IN, SctpEvent.SHUTDOWN),
        (OUT, SctpEvent.SHUTDOWN_ACK),
        (IN, SctpEvent.SHUTDOWN_COMPLETE),
    ) == [
        "init1",
        "cookie_sent",
        "cookie_replied",
        "established",
        "established",
        "shutdown_received",
        "shutdown_ack_sent",
        "closed",
    ]


def test_a_repeated_init_is_waited_for_longer():
    assert follow((IN, SctpEvent.INIT), (IN, SctpEvent.INIT)) == ["init1", "init"]
    assert TIMEOUTS[ConnectionState.SCTP_INIT1] < TIMEOUTS[ConnectionState.SCTP_INIT]


def test_without_replies_a_cookie_establishes():
    steps = ((IN_ONLY, SctpEvent.INIT), (IN_ONLY, SctpEvent.COOKIE_ECHO), (IN_ONLY, SctpEvent.SHUTDOWN_ACK))
    assert follow(*steps) == ["init1", "established", "closed"]


@pytest.mark.parametrize("direction", Direction)
def test_an_abort_ends_an_association_from_either_side(direction: Direction):
    assert TRANSITIONS[direction][SctpEvent.ABORT][ConnectionState.SCTP_ESTABLISHED] == "sctp_closed"


def test_a_server_that_refuses_is_forgotten_soon():
    assert follow((IN, SctpEvent.INIT), (OUT, SctpEvent.ABORT)) == ["init1", "rejected"]
    assert TIMEOUTS[ConnectionState.SCTP_REJECTED] == 4


@pytest.mark.parametrize(
    ("first", "second", "event"),
    [
        (SctpChunk.SACK, None, SctpEvent.DATA),
        (SctpChunk.HEARTBEAT, None, SctpEvent.DATA),
        (SctpChunk.INIT, None, SctpEvent.INIT),
        (SctpChunk.COOKIE_ECHO, SctpChunk.DATA, SctpEvent.COOKIE_ECHO),
        (SctpChunk.COOKIE_ECHO, SctpChunk.ABORT, SctpEvent.ABORT),
        (SctpChunk.COOKIE_ACK, SctpChunk.ABORT, SctpEvent.ABORT),
        (SctpChunk.DATA, SctpChunk.ABORT, SctpEvent.DATA),
    ],
)
def test_the_event_of_a_packet(first: SctpChunk, second: SctpChunk | None, event: SctpEvent):
    assert sctp_event(first, second) is event
