"""Virtual servers and their real servers."""

from dataclasses import dataclass
from enum import StrEnum

from shoal.model.address import Address, address_order, endpoint
from shoal.model.monitor import Monitor


class Protocol(StrEnum):
    """Transport protocol of a listener."""

    TCP = "tcp"
    UDP = "udp"


class ForwardingMethod(StrEnum):
    """How a packet reaches its real server.

    ``NAT`` rewrites addresses and ports, both ways. ``DR`` (direct routing) changes only the MACs: the real server
    is on a network of the router, has the virtual address itself and answers the client past the router.
    """

    NAT = "nat"
    DR = "dr"


class Hook(StrEnum):
    """Where in the kernel the eBPF dataplane takes packets from an interface."""

    AUTO = "auto"
    XDP = "xdp"
    TC = "tc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What a client connects to: one address, protocol and port. Listeners of either family sort together."""

    address: Address
    port: int
    protocol: Protocol

    def __str__(self) -> str:
        return f"{endpoint(self.address, self.port)}/{self.protocol}"

    def __lt__(self, other: "Listener") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[tuple[int, int], int, str]:
        return address_order(self.address), self.port, self.protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServer:
    """One server of a virtual server. ``weight`` 0 is quiesced: it keeps what it has and gets nothing new.

    ``method`` None: that of the virtual server.
    """

    name: str
    address: Address
    port: int
    weight: int = 1
    method: ForwardingMethod | None = None

    @property
    def endpoint(self) -> str:
        """``address:port``, the identity of a real server within its virtual server; IPv6 in brackets."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualServer:
    """Listeners, a scheduler with its flags (sorted), a forwarding method, a monitor and real servers.

    ``method`` is that of the real servers that have none of their own.
    """

    name: str
    listeners: tuple[Listener, ...]
    scheduler: str
    method: ForwardingMethod
    monitor: Monitor
    real_servers: tuple[RealServer, ...]
    scheduler_flags: tuple[str, ...] = ()

    def method_of(self, real_server: RealServer) -> ForwardingMethod:
        """How packets reach one of its real servers."""
        return real_server.method or self.method
