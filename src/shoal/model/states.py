"""What the states of a connection mean, whatever its protocol: how long it is kept, and how it counts.

Facts from the kernel's ``net/netfilter/ipvs`` (``tcp_timeouts`` and ``tcp_state_active_table`` in
``ip_vs_proto_tcp.c``, ``udp_timeouts`` in ``ip_vs_proto_udp.c``, ``sctp_timeouts`` and ``set_sctp_state()`` in
``ip_vs_proto_sctp.c``).
"""

from collections.abc import Mapping

from shoal.model import sctp_states, tcp_states
from shoal.model.connection import ConnectionState, Direction
from shoal.model.sctp_states import SctpEvent
from shoal.model.tcp_states import TcpEvent

TIMEOUTS: Mapping[ConnectionState, float] = {
    ConnectionState.NONE: 2.0,
    ConnectionState.ESTABLISHED: 900.0,
    ConnectionState.SYN_SENT: 120.0,
    ConnectionState.SYN_RECV: 60.0,
    ConnectionState.FIN_WAIT: 120.0,
    ConnectionState.TIME_WAIT: 120.0,
    ConnectionState.CLOSE: 10.0,
    ConnectionState.CLOSE_WAIT: 60.0,
    ConnectionState.LAST_ACK: 30.0,
    ConnectionState.LISTEN: 120.0,
    ConnectionState.SYNACK: 120.0,
    ConnectionState.UDP: 300.0,
    ConnectionState.SCTP_INIT1: 4.0,
    ConnectionState.SCTP_INIT: 61.0,
    ConnectionState.SCTP_COOKIE_SENT: 61.0,
    ConnectionState.SCTP_COOKIE_REPLIED: 61.0,
    ConnectionState.SCTP_COOKIE_WAIT: 61.0,
    ConnectionState.SCTP_COOKIE: 61.0,
    ConnectionState.SCTP_COOKIE_ECHOED: 61.0,
    ConnectionState.SCTP_ESTABLISHED: 900.0,
    ConnectionState.SCTP_SHUTDOWN_SENT: 61.0,
    ConnectionState.SCTP_SHUTDOWN_RECEIVED: 61.0,
    ConnectionState.SCTP_SHUTDOWN_ACK_SENT: 61.0,
    ConnectionState.SCTP_REJECTED: 4.0,
    ConnectionState.SCTP_CLOSED: 61.0,
}
"""Seconds without a packet after which a connection in that state expires."""

ACTIVE_STATES = frozenset(
    {
        ConnectionState.ESTABLISHED,
        ConnectionState.SYN_SENT,
        ConnectionState.SYN_RECV,
        ConnectionState.SYNACK,
        ConnectionState.SCTP_ESTABLISHED,
    }
)
"""The states that count as active; all others, UDP among them, count as inactive."""

HALF_OPEN_STATES = frozenset(
    {ConnectionState.SYN_RECV, ConnectionState.SCTP_INIT1, ConnectionState.SCTP_INIT}
)
"""The states of a connection whose client has only asked for it. In a full table they give way."""

CLOSED_STATES = frozenset({ConnectionState.TIME_WAIT, ConnectionState.CLOSE, ConnectionState.SCTP_CLOSED})
"""The states of a connection that is over, so that its client may use its port again."""


def next_state(state: ConnectionState, event: TcpEvent | SctpEvent, direction: Direction) -> ConnectionState:
    """The state after a packet."""
    if isinstance(event, SctpEvent):
        return sctp_states.TRANSITIONS[direction][event][state]
    return tcp_states.TRANSITIONS[direction][event][state]
