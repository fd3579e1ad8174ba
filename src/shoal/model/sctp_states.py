"""The SCTP states of a connection as a router sees them, as data.

Facts from the kernel's ``net/netfilter/ipvs/ip_vs_proto_sctp.c`` (``sctp_events``, ``sctp_states``,
``sctp_timeouts``). The states are those of the real server's end (RFC 9260 section 4). A packet is one event: its
first chunk, or an ABORT right behind a COOKIE ECHO or COOKIE ACK.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

from shoal.model.connection import ConnectionState, Direction


class SctpChunk(IntEnum):
    """Types of chunks, with their values on the wire (RFC 9260 3.2)."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    SHUTDOWN_COMPLETE = 14


class SctpEvent(StrEnum):
    """What a packet's chunk says. ``DATA`` stands for every chunk that is not named here."""

    DATA = "data"
    INIT = "init"
    INIT_ACK = "init_ack"
    COOKIE_ECHO = "cookie_echo"
    COOKIE_ACK = "cookie_ack"
    SHUTDOWN = "shutdown"
    SHUTDOWN_ACK = "shutdown_ack"
    SHUTDOWN_COMPLETE = "shutdown_complete"
    ERROR = "error"
    ABORT = "abort"


_COLUMNS: Mapping[str, ConnectionState] = {
    "no": ConnectionState.NONE,
    "i1": ConnectionState.SCTP_INIT1,
    "in": ConnectionState.SCTP_INIT,
    "cs": ConnectionState.SCTP_COOKIE_SENT,
    "cr": ConnectionState.SCTP_COOKIE_REPLIED,
    "cw": ConnectionState.SCTP_COOKIE_WAIT,
    "co": ConnectionState.SCTP_COOKIE,
    "ce": ConnectionState.SCTP_COOKIE_ECHOED,
    "es": ConnectionState.SCTP_ESTABLISHED,
    "ss": ConnectionState.SCTP_SHUTDOWN_SENT,
    "sr": ConnectionState.SCTP_SHUTDOWN_RECEIVED,
    "sa": ConnectionState.SCTP_SHUTDOWN_ACK_SENT,
    "rj": ConnectionState.SCTP_REJECTED,
    "cl": ConnectionState.SCTP_CLOSED,
}

# One column for each state in the order of _COLUMNS; the entry is the next state.
#                                no i1 in cs cr cw co ce es ss sr sa rj cl
_ROWS = {
    Direction.INPUT: {
        SctpEvent.DATA: "         es i1 in cs cr cw co ce es ss sr sa rj cl",
        SctpEvent.INIT: "         i1 in in cs cr cw co ce es ss sr sa in in",
        SctpEvent.INIT_ACK: "     cw cw cw cs cr co co ce es ss sr sa rj cl",
        SctpEvent.COOKIE_ECHO: "  cr in in cr cr cw co ce es ss sr sa rj cl",
        SctpEvent.COOKIE_ACK: "   es i1 in cs cr cw co es es ss sr sa rj cl",
        SctpEvent.SHUTDOWN: "     sr i1 in cs cr cw co ce sr ss sr sa rj cl",
        SctpEvent.SHUTDOWN_ACK: " cl in in cs cr cw co ce es cl sr cl rj cl",
        SctpEvent.SHUTDOWN_COMPLETE: "cl cl cl cs cr cw co ce es ss sr cl rj cl",
        SctpEvent.ERROR: "        cl i1 in cs cr cw co cl es ss sr sa rj cl",
        SctpEvent.ABORT: "        cl cl cl cl cl rj cl cl cl cl cl cl cl cl",
    },
    Direction.OUTPUT: {
        SctpEvent.DATA: "         es i1 in cs cr cw co ce es ss sr sa rj cl",
        SctpEvent.INIT: "         cw cw cw cw cw cw cw cw es cw cw cw cw cw",
        SctpEvent.INIT_ACK: "     cs cs cs cs cr cw co ce es ss sr sa rj cl",
        SctpEvent.COOKIE_ECHO: "  ce ce ce ce ce ce ce ce es ss sr sa rj cl",
        SctpEvent.COOKIE_ACK: "   es es es es es es es es es ss sr sa rj cl",
        SctpEvent.SHUTDOWN: "     ss ss ss ss ss ss ss ss ss ss sr sa rj cl",
        SctpEvent.SHUTDOWN_ACK: " sa sa sa sa sa cw co ce es sa sa sa rj cl",
        SctpEvent.SHUTDOWN_COMPLETE: "cl i1 in cs cr cw co ce es ss sr sa rj cl",
        SctpEvent.ERROR: "        cl cl cl cl cl cw co ce es ss sr sa rj cl",
        SctpEvent.ABORT: "        cl rj cl cl cl cl cl cl cl cl cl cl cl cl",
    },
    Direction.INPUT_ONLY: {
        SctpEvent.DATA: "         es i1 in cs cr es co ce es ss sr sa rj cl",
        SctpEvent.INIT: "         i1 in in in in in co ce es ss sr sa in in",
        SctpEvent.INIT_ACK: "     ce ce ce ce ce ce co ce es ss sr sa rj cl",
        SctpEvent.COOKIE_ECHO: "  es es es es es es co ce es ss sr sa rj cl",
        SctpEvent.COOKIE_ACK: "   es i1 in es es cw es es es ss sr sa rj cl",
        SctpEvent.SHUTDOWN: "     sr i1 in cs cr cw co ce sr ss sr sa rj cl",
        SctpEvent.SHUTDOWN_ACK: " cl in in cs cr cw co ce cl cl sr cl rj cl",
        SctpEvent.SHUTDOWN_COMPLETE: "cl cl cl cl cl cw co ce es ss cl cl rj cl",
        SctpEvent.ERROR: "        cl i1 in cs cr cw co ce es ss sr sa rj cl",
        SctpEvent.ABORT: "        cl cl cl cl cl rj cl cl cl cl cl cl cl cl",
    },
}

Row = Mapping[ConnectionState, ConnectionState]

TRANSITIONS: Mapping[Direction, Mapping[SctpEvent, Row]] = {
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


def sctp_event(first: SctpChunk, second: SctpChunk | None = None) -> SctpEvent:
    """The event that a packet with these chunks is."""
    is_cookie = first in (SctpChunk.COOKIE_ECHO, SctpChunk.COOKIE_ACK)
    deciding = second if is_cookie and second is SctpChunk.ABORT else first
    known = {event.name: event for event in SctpEvent}
    return known.get(deciding.name, SctpEvent.DATA)
