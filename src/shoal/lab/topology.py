"""What a lab consists of: nodes, namespaces, links and addresses. Pure: nothing is created here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shoal.errors import ConfigError, NotFoundError
from shoal.lab.networks import NETWORKS, Bridge, Family, Networks, literal
from shoal.model import Address, Encapsulation, ForwardingMethod, Hook, Interface

DEFAULT_NAME = "shoal"
SWITCH = "net"  # the node that holds both bridges
MOST_ROUTERS = 8
MOST_REAL_SERVERS = 64
_GATEWAY_HOST = 1
_VIP_HOST = 100
_CLIENT_HOST = 10
_FIRST_ROUTER_HOST = 11
_FIRST_REAL_SERVER_HOST = 21
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How real servers stand under a forwarding method.

    They are on the network ``bridge``. ``behind_gateway``: their way out is the routers' floating gateway.
    ``holds_vip``: they have the VIP themselves, and answer the client in its name past the routers.
    """

    bridge: Bridge
    behind_gateway: bool = False
    holds_vip: bool = False


LAYOUTS: Mapping[ForwardingMethod, Layout] = {
    ForwardingMethod.NAT: Layout(bridge=Bridge.PRIVATE, behind_gateway=True),
    ForwardingMethod.DR: Layout(bridge=Bridge.PUBLIC, holds_vip=True),
    ForwardingMethod.TUNNEL: Layout(bridge=Bridge.PUBLIC, holds_vip=True),
    ForwardingMethod.FULLNAT: Layout(bridge=Bridge.PRIVATE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One cable: ``interface`` in a node, ``switch_port`` at the other end, on ``bridge``.

    ``addresses`` are the node's on it, the one of the network first.
    """

    node: str
    interface: str
    bridge: Bridge
    addresses: tuple[Interface, ...]
    mac: str

    @property
    def address(self) -> Interface:
        """The node's address in the network."""
        return self.addresses[0]

    @property
    def switch_port(self) -> str:
        """The interface at the switch's end; setting it down cuts the cable."""
        return f"{self.node}-{self.bridge.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A lab's plan. ``name`` is the prefix of its namespaces, so that several labs fit on one machine."""

    name: str = DEFAULT_NAME
    router_count: int = 2
    real_server_count: int = 3
    forward: ForwardingMethod = ForwardingMethod.NAT
    hook: Hook = Hook.AUTO
    family: Family = Family.IPV4
    encap: Encapsulation = Encapsulation.IPIP

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                where="--name",
                problem=f"{self.name!r} is not a lab's name",
                fix="use up to 20 of a-z, 0-9 and -, a letter first",
            )
        if self.forward not in LAYOUTS:
            raise ConfigError(
                where="--forward",
                problem=f"the lab cannot show {self.forward} yet",
                fix=f"use one of {', '.join(LAYOUTS)}",
            )
        if self.encap is not Encapsulation.IPIP and self.forward is not ForwardingMethod.TUNNEL:
            raise ConfigError(
                where="--encap",
                problem=f"nothing travels in {self.encap} by {self.forward}",
                fix="add --forward tunnel, or leave --encap out",
            )
        _check_count("--routers", self.router_count, most=MOST_ROUTERS)
        _check_count("--real-servers", self.real_server_count, most=MOST_REAL_SERVERS)

    @property
    def layout(self) -> Layout:
        """How the real servers stand."""
        return LAYOUTS[self.forward]

    @property
    def networks(self) -> Networks:
        """The networks of the lab's family."""
        return NETWORKS[self.family]

    @property
    def vip(self) -> Address:
        """The virtual address."""
        return self.networks.host(Bridge.PUBLIC, _VIP_HOST).ip

    @property
    def gateway(self) -> Interface:
        """The floating gateway of the private network."""
        return self.networks.host(Bridge.PRIVATE, _GATEWAY_HOST)

    @property
    def url(self) -> str:
        """Where the client finds the web servers."""
        return f"http://{literal(self.vip)}/"

    @property
    def routers(self) -> tuple[str, ...]:
        """lb1, lb2, ..."""
        return tuple(f"lb{number}" for number in range(1, self.router_count + 1))

    @property
    def real_servers(self) -> tuple[str, ...]:
        """rs1, rs2, ..."""
        return tuple(f"rs{number}" for number in range(1, self.real_server_count + 1))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node a user may enter; the switch comes first because the others' cables end in it."""
        return (SWITCH, "client", *self.routers, *self.real_servers)

    def namespace(self, node: str) -> str:
        """The network namespace of a node. Raises NotFoundError."""
        if node not in self.nodes:
            raise NotFoundError(
                where=f"lab {self.name}",
                problem=f"there is no node {node!r}",
                fix=f"use one of {', '.join(self.nodes)}",
            )
        return f"{self.name}-{node}"

    def ports(self, node: str) -> tuple[Port, ...]:
        """The cables of a node."""
        if node in self.routers:
            host = _FIRST_ROUTER_HOST + self.routers.index(node)
            return (
                self._port(node, "eth0", Bridge.PUBLIC, host=host),
                self._port(node, "eth1", Bridge.PRIVATE, host=host),
            )
        if node in self.real_servers:
            host = _FIRST_REAL_SERVER_HOST + self.real_servers.index(node)
            return (self._port(node, "eth0", self.layout.bridge, host=host),)
        if node == "client":
            return (self._port(node, "eth0", Bridge.PUBLIC, host=_CLIENT_HOST),)
        return ()

    def port(self, node: str, bridge: Bridge) -> Port:
        """A node's cable to one of the networks. Raises NotFoundError."""
        for port in self.ports(node):
            if port.bridge is bridge:
                return port
        raise NotFoundError(where=f"lab {self.name}", problem=f"{node} has no cable to {bridge}")

    def address(self, node: str) -> Address:
        """The fixed address on a node's first interface."""
        return self.ports(node)[0].address.ip

    def owner_of_mac(self, mac: str) -> str:
        """The router whose public interface has this MAC address; the MAC itself when none has."""
        macs = {self.port(router, Bridge.PUBLIC).mac: router for router in self.routers}
        return macs.get(mac, mac)

    def _port(self, node: str, interface: str, bridge: Bridge, *, host: int) -> Port:
        side = 1 if bridge is Bridge.PUBLIC else 2
        return Port(
            node=node,
            interface=interface,
            bridge=bridge,
            addresses=self.networks.addresses(bridge, host),
            mac=f"02:5a:00:00:{side:02x}:{host:02x}",
        )


def _check_count(option: str, count: int, *, most: int) -> None:
    if not 1 <= count <= most:
        raise ConfigError(
            where=option, problem=f"{count} is not between 1 and {most}", fix=f"use 1 to {most}"
        )


def switch_commands() -> tuple[str, ...]:
    """``ip -batch`` lines for the switch's namespace. No STP and no snooping: ports forward at once."""
    lines = ["link set lo up"]
    for bridge in Bridge:
        lines += [
            f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set {bridge} up",
        ]
    return tuple(lines)


def cable_commands(topology: Topology, node: str) -> tuple[str, ...]:
    """``ip -batch`` lines for the host's namespace: the node's cables, each end in its namespace."""
    switch, here = topology.namespace(SWITCH), topology.namespace(node)
    return tuple(
        f"link add {port.switch_port} netns {switch} type veth"
        f" peer name {port.interface} netns {here} address {port.mac}"
        for port in topology.ports(node)
    )


def plug_commands(ports: Sequence[Port]) -> tuple[str, ...]:
    """``ip -batch`` lines for the switch: the ports join their bridges and come up.

    A NIC drops what is not addressed to it, a veth does not. So the switch floods no unicast: otherwise, once a
    cable is cut and its address forgotten, the other routers would see (and serve) what was meant for the dead one.
    """
    return tuple(
        line
        for port in ports
        for line in (
            f"link set {port.switch_port} master {port.bridge} up",
            f"link set {port.switch_port} type bridge_slave flood off",
        )
    )


def address_commands(ports: Sequence[Port]) -> tuple[str, ...]:
    """``bridge -batch`` lines for the switch: which address is behind which port, for as long as it is there."""
    return tuple(f"fdb replace {port.mac} dev {port.switch_port} master static" for port in ports)


def node_commands(topology: Topology, node: str) -> tuple[str, ...]:
    """``ip -batch`` lines for the node's own namespace."""
    lines = ["link set lo up"]
    for port in topology.ports(node):
        lines += _address_lines(port)
        lines.append(f"link set {port.interface} up")
    if node in topology.real_servers and topology.layout.behind_gateway:
        lines.append(f"route add default via {topology.gateway.ip}")
    return tuple(lines)


def _address_lines(port: Port) -> Iterator[str]:
    """No IPv6 address waits a second for duplicate address detection, nor the kernel's own, which is not made."""
    if port.address.version == 6:
        yield f"link set {port.interface} addrgenmode none"
    for address in port.addresses:
        yield f"addr add {address} dev {port.interface}" + (" nodad" if address.version == 6 else "")


def link_commands(ports: Sequence[Port], *, up: bool) -> tuple[str, ...]:
    """``ip -batch`` lines for the switch that cut cables or mend them."""
    return tuple(f"link set {port.switch_port} {'up' if up else 'down'}" for port in ports)
