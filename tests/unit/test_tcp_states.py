"""The TCP state machine is that of IPVS (kernel net/netfilter/ipvs/ip_vs_proto_tcp.c)."""

import pytest

from shoal.model import ConnectionState
from shoal.model.connection import Direction
from shoal.model.states import ACTIVE_STATES, TIMEOUTS
from shoal.model.tcp_states import TRANSITIONS, TcpEvent, tcp_event

IN, OUT, IN_ONLY = Direction.INPUT, Direction.OUTPUT, Direction.INPUT_ONLY
SYN, FIN, ACK, RST = TcpEvent.SYN, TcpEvent.FIN, TcpEvent.ACK, TcpEvent.RST


def follow(*events: tuple[Direction, TcpEvent]) -> list[str]:
    """The states that a connection goes through from NONE."""
    state, states = ConnectionState.NONE, []
    for direction, event in events:
        state = TRANSITIONS[direction][event][state]
        states.append(str(state))
    return states


def test_every_direction_and_event_has_a_next_state_for_every_tcp_state():
    tcp = set(list(ConnectionState)[: list(ConnectionState).index(ConnectionState.UDP)])
    for direction in Direction:
        assert TRANSITIONS[direction].keys() == set(TcpEvent)
        for row in TRANSITIONS[direction].values():
            assert row.keys() == tcp
            assert set(row.values()) <= tcp


def test_every_state_has_a_timeout():
    assert TIMEOUTS.keys() == set(ConnectionState)
    assert TIMEOUTS[ConnectionState.ESTABLISHED] == 15 * 60


def test_a_client_that_closes_first_passes_through_time_wait():
    assert follow((IN, SYN), (OUT, SYN), (IN, ACK), (IN, FIN), (OUT, ACK), (OUT, FIN), (IN, ACK)) == [
        "syn_recv",
        "syn_recv",
        "established",
        "close_wait",
        "close_wait",
        "time_wait",
        "time_wait",
    ]


def test_a_server_that_closes_first_passes_through_fin_wait():
    assert follow((IN, SYN), (OUT, SYN), (IN, ACK), (OUT, FIN), (IN, ACK), (IN, FIN), (OUT, ACK)) == [
        "syn_recv",
        "syn_recv",
        "established",
        "fin_wait",
        "fin_wait",
        "time_wait",
        "time_wait",
    ]


def test_a_reset_closes_from_both_sides():
    assert follow((IN, SYN), (IN, ACK), (OUT, RST))[-1] == "close"
    assert follow((IN, SYN), (IN, ACK), (IN, RST))[-1] == "close"


def test_a_reset_of_the_client_does_not_close_a_half_open_connection():
    assert follow((IN, SYN), (IN, RST)) == ["syn_recv", "syn_recv"]


def test_what_the_router_only_sees_from_one_side_ends_in_fin_wait():
    assert follow((IN_ONLY, SYN), (IN_ONLY, ACK), (IN_ONLY, FIN)) == ["syn_recv", "established", "fin_wait"]


def test_the_active_states_are_the_kernels():
    assert sorted(ACTIVE_STATES) == ["established", "sctp_established", "syn_recv", "syn_sent", "synack"]


@pytest.mark.parametrize(
    ("flags", "event"),
    [
        ({"rst", "syn", "fin", "ack"}, RST),
        ({"syn", "fin", "ack"}, SYN),
        ({"fin", "ack"}, FIN),
        ({"ack"}, ACK),
        (set(), None),
    ],
)
def test_the_first_of_reset_syn_fin_and_ack_counts(flags, event):
    assert tcp_event(**{name: name in flags for name in ("rst", "syn", "fin", "ack")}) is event
