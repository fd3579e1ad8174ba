"""The cluster: routers, paths and floating addresses."""

from dataclasses import dataclass
from enum import StrEnum

from shoal.model.address import Address, Interface
from shoal.model.connection import ConnectionState
from shoal.model.local_pool import LocalPool, local_addresses
from shoal.model.states import TIMEOUTS
from shoal.model.virtual_server import ForwardingMethod, Hook, VirtualServer


class RouterState(StrEnum):
    """State of a router, as opposed to its role (configured preference)."""

    INIT = "init"
    BACKUP = "backup"
    ACTIVE = "active"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A network over which routers hear each other. ``interface`` is the same on every router.

    ``masquerade``: hosts of this network reach what lies behind the public path under the router's address.
    """

    name: str
    interface: str
    masquerade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """An LVS router. ``addresses`` maps a path's name to this router's fixed address there.

    ``fullnat_addresses`` are what its fullnat connections come from, where they are given.
    """

    name: str
    priority: int
    addresses: tuple[tuple[str, Address], ...]
    fullnat_addresses: tuple[Address, ...] = ()

    def address_on(self, path: str) -> Address | None:
        """The router's fixed address on a path, if it has one there."""
        return dict(self.addresses).get(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingAddress:
    """An address that moves between routers: a VIP, or the NAT gateway address on the private side."""

    address: Interface
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGroup:
    """Floating addresses that must move together."""

    name: str
    addresses: tuple[FloatingAddress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The routers and everything they serve, as one configuration describes them.

    ``heartbeat_interval`` and ``dead_time`` are seconds. ``key`` authenticates heartbeats; it is empty only where
    there is no peer. ``serial`` is the operator's counter; ``digest`` the SHA-256 of the configuration's meaning.
    ``max_connections`` is the size of the table of IPv4 connections; the other limits are those of the dataplane too.
    ``timeouts`` are seconds, one for each state of a connection.
    """

    name: str
    serial: int
    digest: bytes
    paths: tuple[Path, ...]
    routers: tuple[Router, ...]
    groups: tuple[AddressGroup, ...]
    virtual_servers: tuple[VirtualServer, ...]
    heartbeat_port: int
    heartbeat_interval: float
    dead_time: float
    key: bytes
    hook: Hook
    max_connections: int
    max_connections_ipv6: int
    max_virtual_servers: int
    max_real_servers: int
    max_templates: int
    fullnat_ports: range = range(1024, 32768)
    max_access_entries: int = 16_384
    timeouts: tuple[tuple[ConnectionState, float], ...] = tuple(TIMEOUTS.items())

    @property
    def uses_fullnat(self) -> bool:
        """Whether any real server is reached by fullnat."""
        return any(
            server.method_of(each) is ForwardingMethod.FULLNAT
            for server in self.virtual_servers
            for each in server.real_servers
        )

    def local_pool(self, router: str) -> LocalPool:
        """What a router's fullnat connections come from; nothing where there are none."""
        ours = self.router(router) if self.uses_fullnat else None
        addresses = local_addresses(ours.fullnat_addresses, ours.addresses) if ours else ()
        return LocalPool(addresses=addresses, ports=self.fullnat_ports)

    def path(self, name: str) -> Path | None:
        """The path of that name."""
        return next((path for path in self.paths if path.name == name), None)

    def router(self, name: str) -> Router | None:
        """The router of that name."""
        return next((router for router in self.routers if router.name == name), None)
