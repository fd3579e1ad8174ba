"""A connection: one flow's entry in the dataplane."""

from dataclasses import dataclass
from enum import StrEnum

from shoal.model.address import Address, Network
from shoal.model.virtual_server import Protocol


class ConnectionState(StrEnum):
    """States of IPVS (kernel net/netfilter/ipvs/ip_vs_proto_tcp.c); UDP has one."""

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
