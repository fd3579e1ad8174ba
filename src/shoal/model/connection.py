"""A connection: one flow's entry in the dataplane."""

from dataclasses import dataclass
from enum import StrEnum

from shoal.model.address import Address, Network
from shoal.model.virtual_server import Protocol


class ConnectionState(StrEnum):
    """States of IPVS (kernel net/netfilter/ipvs/ip_vs_proto_tcp.c, ip_vs_proto_sctp.c); UDP has one."""

    NONE = "none"
    ESTABLISHED = "established"
    SYN_SENT = "syn_sent"
    SYN_RECV = "syn_recv"
    FIN_WAIT = "fin_wait"
    TIME_WAIT = "time_wait"
    CLOSE = "close"
    CLOSE_WAIT = "close_wait"
    LAST_ACK = "last_ack"
    LISTEN = "listen"
    SYNACK = "synack"
    UDP = "udp"
    SCTP_INIT1 = "sctp_init1"
    SCTP_INIT = "sctp_init"
    SCTP_COOKIE_SENT = "sctp_cookie_sent"
    SCTP_COOKIE_REPLIED = "sctp_cookie_replied"
    SCTP_COOKIE_WAIT = "sctp_cookie_wait"
    SCTP_COOKIE = "sctp_cookie"
    SCTP_COOKIE_ECHOED = "sctp_cookie_echoed"
    SCTP_ESTABLISHED = "sctp_established"
    SCTP_SHUTDOWN_SENT = "sctp_shutdown_sent"
    SCTP_SHUTDOWN_RECEIVED = "sctp_shutdown_received"
    SCTP_SHUTDOWN_ACK_SENT = "sctp_shutdown_ack_sent"
    SCTP_REJECTED = "sctp_rejected"
    SCTP_CLOSED = "sctp_closed"


class Direction(StrEnum):
    """Which way a packet goes. ``INPUT_ONLY`` is for forwarding methods whose replies pass the router by."""

    INPUT = "input"
    OUTPUT = "output"
    INPUT_ONLY = "input_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Client, virtual address, real server, state, and the seconds until it expires."""

    protocol: Protocol
    client: tuple[Address, int]
    virtual: tuple[Address, int]
    real: tuple[Address, int]
    state: ConnectionState
    expires_in: float
    virtual_server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Persistence: the real server that a client network's new connections go to.

    ``connections`` of the network live now; while there are some it outlives the seconds until it expires.
    """

    virtual_server: str
    network: Network
    real: tuple[Address, int]
    expires_in: float
    connections: int
