"""Virtual servers and their real servers."""

from dataclasses import dataclass
from enum import StrEnum

from shoal.model.address import Address, address_order, endpoint
from shoal.model.admission import EVERYBODY, Admission
from shoal.model.monitor import Monitor


class Protocol(StrEnum):
    """Transport protocol of a listener."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


class Leaving(StrEnum):
    """What becomes of the connections of a real server that is removed, or down.

    ``KEEP``: they go on until they end. ``RESET``: they end at the client's next packet, TCP by a reset and SCTP by an
    ABORT; datagram flows are scheduled anew. ``MOVE``: all are scheduled anew at that packet, and the real server that
    gets it makes of it what it can; for such as share what they know of connections.
    """

    KEEP = "keep"
    RESET = "reset"
    MOVE = "move"


class ForwardingMethod(StrEnum):
    """How a packet reaches its real server.

    ``NAT`` rewrites addresses and ports, both ways. ``DR`` (direct routing) changes only the MACs: the real server
    is on a network of the router, has the virtual address itself and answers the client past the router. ``TUNNEL``
    is the same for a real server anywhere: the packet travels to it inside another one. ``FULLNAT`` rewrites both ends:
    the real server sees a connection from the router, and needs no route to the client. ``LOCAL``: the real server is
    the router itself, whose own stack gets the packet as it came.
    """

    NAT = "nat"
    DR = "dr"
    TUNNEL = "tunnel"
    FULLNAT = "fullnat"
    LOCAL = "local"


class Encapsulation(StrEnum):
    """What stands around a packet on its way through a tunnel, after the outer IPv4 or IPv6 header.

    ``IPIP``: nothing (RFC 2003, RFC 2473, RFC 4213). ``GUE``: UDP and a header of Generic UDP Encapsulation
    (draft-ietf-intarea-gue). ``GRE``: a header of four bytes (RFC 2784).
    """

    IPIP = "ipip"
    GUE = "gue"
    GRE = "gre"


GUE_PORT = 6080
"""The UDP port of Generic UDP Encapsulation (IANA)."""


class Hook(StrEnum):
    """Where in the kernel the eBPF dataplane takes packets from an interface."""

    AUTO = "auto"
    XDP = "xdp"
    TC = "tc"


LAST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What a client connects to: one address, protocol and port, or the ports from ``port`` to ``last_port``.

    Port 0 with ``last_port`` 65535 is any port. Listeners of either family sort together.
    """

    address: Address
    port: int
    protocol: Protocol
    last_port: int = 0

    def __str__(self) -> str:
        ports = f"-{self.last_port}" if self.is_range and not self.is_any_port else ""
        return f"{endpoint(self.address, self.port)}{ports}/{self.protocol}"

    @property
    def is_range(self) -> bool:
        """Whether it is more than one port."""
        return self.last_port > 0

    @property
    def is_any_port(self) -> bool:
        """Whether it is every port that no other listener names."""
        return self.last_port == LAST_PORT and self.port == 0

    @property
    def ports(self) -> range:
        """Its ports."""
        return range(self.port, (self.last_port or self.port) + 1)

    def __lt__(self, other: "Listener") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[tuple[int, int], int, str, int]:
        return address_order(self.address), self.port, self.protocol, self.last_port


class AdminState(StrEnum):
    """What the operator wants of a real server, whatever its health.

    ``DRAIN``: no new connections, not even of clients that persistence would send to it. ``MAINTENANCE``: and those
    that it has are ended.
    """

    IN = "in"
    DRAIN = "drain"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """New connections of one client network go where its first one went, for ``timeout`` seconds after the last.

    Networks are as large as ``ipv4_prefix`` and ``ipv6_prefix`` say. A real server with weight 0 gets connections of
    clients that it has, unless ``expire_quiescent``; one that was removed gets none unless ``expire_removed`` is False,
    and then as long as it still has connections.
    """

    timeout: int = 300
    ipv4_prefix: int = 32
    ipv6_prefix: int = 128
    expire_quiescent: bool = False
    expire_removed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServer:
    """One server of a virtual server. ``weight`` 0 is quiesced: it keeps what it has and gets nothing new.

    ``method``, ``encap`` and ``encap_port`` None: those of the virtual server. With ``upper_threshold`` connections it
    gets no new ones until it has fewer than ``lower_threshold``, or than three quarters of the upper one if that is 0;
    upper 0: no such limit. ``port`` 0: packets keep theirs.
    """

    name: str
    address: Address
    port: int
    weight: int = 1
    method: ForwardingMethod | None = None
    encap: Encapsulation | None = None
    encap_port: int | None = None
    upper_threshold: int = 0
    lower_threshold: int = 0
    state: AdminState = AdminState.IN

    @property
    def endpoint(self) -> str:
        """``address:port``, the identity of a real server within its virtual server; IPv6 in brackets."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualServer:
    """Listeners, a scheduler with its flags (sorted), a forwarding method, a monitor and real servers.

    ``method``, ``encap`` and ``encap_port`` (the UDP port of gue) are those of the real servers that have none of
    their own; the last two count under method tunnel. ``marks`` are firewall marks that it listens to beside its
    listeners. ``one_packet``: every datagram is scheduled by itself. ``sloppy``: a TCP packet from amid a connection
    may begin one.
    ``on_removal``, ``on_down``: what becomes of connections of real servers that are removed, or down.
    ``drain_timeout``: seconds after which the connections of one that drains, or was removed, end; 0: no limit.
    ``mss_clamp``: the largest TCP segment that a SYN may announce, in bytes; True: what the ways carry, False: any.
    """

    name: str
    listeners: tuple[Listener, ...]
    scheduler: str
    method: ForwardingMethod
    monitor: Monitor
    real_servers: tuple[RealServer, ...]
    scheduler_flags: tuple[str, ...] = ()
    encap: Encapsulation = Encapsulation.IPIP
    encap_port: int = GUE_PORT
    mss_clamp: bool | int = False
    persistence: Persistence | None = None
    on_removal: Leaving = Leaving.KEEP
    on_down: Leaving = Leaving.KEEP
    drain_timeout: int = 0
    marks: tuple[int, ...] = ()
    one_packet: bool = False
    sloppy: bool = False
    admission: Admission = EVERYBODY

    @property
    def listens_to(self) -> tuple[str, ...]:
        """Its listeners and marks as the configuration writes them."""
        return (*map(str, self.listeners), *(f"fwmark:{mark}" for mark in self.marks))

    def method_of(self, real_server: RealServer) -> ForwardingMethod:
        """How packets reach one of its real servers."""
        return real_server.method or self.method

    def encap_of(self, real_server: RealServer) -> Encapsulation:
        """What packets to one of its real servers travel in, under method tunnel."""
        return real_server.encap or self.encap

    def encap_port_of(self, real_server: RealServer) -> int:
        """The UDP port that one of its real servers opens gue packets on."""
        return real_server.encap_port or self.encap_port
