"""The TCP states of a connection as a router sees them, as data.

From the kernel's ``net/netfilter/ipvs/ip_vs_proto_tcp.c`` (``tcp_states``). A packet is one event: of its flags the
first of RST, SYN, FIN, ACK counts, and a packet with none of them changes nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

from shoal.model.connection import ConnectionState, Direction


class TcpEvent(StrEnum):
    """What a packet's flags say, in order of precedence."""

    RST = "rst"
    SYN = "syn"
    FIN = "fin"
    ACK = "ack"


_COLUMNS: Mapping[str, ConnectionState] = {
    "no": ConnectionState.NONE,
    "es": ConnectionState.ESTABLISHED,
    "ss": ConnectionState.SYN_SENT,
    "sr": ConnectionState.SYN_RECV,
    "fw": ConnectionState.FIN_WAIT,
    "tw": ConnectionState.TIME_WAIT,
    "cl": ConnectionState.CLOSE,
    "cw": ConnectionState.CLOSE_WAIT,
    "la": ConnectionState.LAST_ACK,
    "li": ConnectionState.LISTEN,
    "sa": ConnectionState.SYNACK,
}

# One column for each state in the order of _COLUMNS; the entry is the next state.
#                  no es ss sr fw tw cl cw la li sa
_ROWS = {
    Direction.INPUT: {
        TcpEvent.SYN: "sr es es sr sr sr sr sr sr sr sr",
        TcpEvent.FIN: "cl cw ss tw tw tw cl cw la li tw",
        TcpEvent.ACK: "es es ss es fw tw cl cw cl li es",
        TcpEvent.RST: "cl cl cl sr cl cl cl cl la li sr",
    },
    Direction.OUTPUT: {
        TcpEvent.SYN: "ss es ss sr ss ss ss ss ss li sr",
        TcpEvent.FIN: "tw fw ss tw fw tw cl tw la li tw",
        TcpEvent.ACK: "es es ss es fw tw cl cw la es es",
        TcpEvent.RST: "cl cl ss cl cl tw cl cl cl cl cl",
    },
    Direction.INPUT_ONLY: {
        TcpEvent.SYN: "sr es es sr sr sr sr sr sr sr sr",
        TcpEvent.FIN: "cl fw ss tw fw tw cl cw la li tw",
        TcpEvent.ACK: "es es ss es fw tw cl cw cl li es",
        TcpEvent.RST: "cl cl cl sr cl cl cl cl la li cl",
    },
}

Row = Mapping[ConnectionState, ConnectionState]

TRANSITIONS: Mapping[Direction, Mapping[TcpEvent, Row]] = {
    direction: {
        event: {
            state: _COLUMNS[following]
            for state, following in zip(_COLUMNS.values(), row.split(), strict=True)
        }
        for event, row in rows.items()
    }
    for direction, rows in _ROWS.items()
}
"""The next state by direction, event and state."""


def tcp_event(*, rst: bool, syn: bool, fin: bool, ack: bool) -> TcpEvent | None:
    """The event that a packet's flags are; None when none of them is set."""
    flags = ((rst, TcpEvent.RST), (syn, TcpEvent.SYN), (fin, TcpEvent.FIN), (ack, TcpEvent.ACK))
    return next((event for is_set, event in flags if is_set), None)
