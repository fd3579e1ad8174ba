"""What tunnels ask of a real server: which packets to open, by what, and what gets in the way. Pure.

Packets for a virtual address come to the real server's own address inside others. The kernel opens them with a device
of its own where it has one, else ``bpf/decapsulate.bpf.c`` does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from shoal.model import Cluster, Encapsulation, ForwardingMethod
from shoal.realserver.wanted import Fault

Address = IPv4Address | IPv6Address
DEVICE_PREFIX = "shoal-"
_IPIP, _UDP, _IPV6, _GRE = 4, 17, 41, 47
_STRICT = "1"
_OUTER = {4: 20, 6: 40}
_HEADERS = {Encapsulation.IPIP: 0, Encapsulation.GRE: 4, Encapsulation.GUE: 12}
_USUAL_MTU = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """Packets come to this address of the host in this encapsulation; ``port`` is the UDP port of gue, else 0."""

    address: Address
    encap: Encapsulation
    port: int = 0

    def __str__(self) -> str:
        return f"{self.encap} to {self.address}" + (f" port {self.port}" if self.port else "")

    @property
    def overhead(self) -> int:
        """Bytes that stand before the packet inside."""
        return _OUTER[self.address.version] + _HEADERS[self.encap]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Opening:
    """What the BPF program looks for: an outer destination by protocol and port, or (protocol 0) a virtual address.

    ``address`` is of 16 bytes; an IPv4 address is mapped into IPv6 (RFC 4291 2.5.5.2).
    """

    address: bytes
    protocol: int = 0
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A tunnel device of the kernel, and the arguments of ``ip link add`` that make it."""

    name: str
    arguments: tuple[str, ...]


def tunnel(address: Address, encap: Encapsulation, port: int) -> Tunnel:
    """A tunnel; the port only counts under gue."""
    return Tunnel(address=address, encap=encap, port=port if encap is Encapsulation.GUE else 0)


def tunnels_of(cluster: Cluster, *, own: Iterable[Address]) -> tuple[Tunnel, ...]:
    """The tunnels that end at a host with these addresses."""
    here = set(own)
    found = {
        tunnel(each.address, server.encap_of(each), server.encap_port_of(each))
        for server in cluster.virtual_servers
        for each in server.real_servers
        if each.address in here and server.method_of(each) is ForwardingMethod.TUNNEL
    }
    return tuple(sorted(found, key=lambda each: (each.address.version, str(each))))


def openings(tunnels: Iterable[Tunnel], virtual: Iterable[Address]) -> frozenset[Opening]:
    """What the BPF program must know for these tunnels; nothing where there is none."""
    outer = {
        Opening(address=_mapped(each.address), protocol=protocol, port=each.port)
        for each in tunnels
        for protocol in _protocols(each.encap)
    }
    return frozenset(outer | {Opening(address=_mapped(each)) for each in virtual} if outer else ())


def devices(tunnels: Iterable[Tunnel], virtual: Iterable[Address]) -> dict[Tunnel, tuple[Device, ...]]:
    """The kernel's devices that open these tunnels' packets; none for gue.

    A port of the kernel's own gue (``ip fou``) opens packets to every address of the host and cannot be marked as
    ours, so the BPF program does that.
    """
    families: set[int] = {each.version for each in virtual}
    found: dict[Tunnel, tuple[Device, ...]] = {}
    for number, each in enumerate(tunnels):
        kinds = _device_kinds(each, families)
        found[each] = tuple(
            Device(
                name=f"{DEVICE_PREFIX}{kind[0]}{number}",
                arguments=("type", *kind, "local", str(each.address), "remote", "any"),
            )
            for kind in kinds
        )
    return found


def strict_paths(interfaces: Iterable[str], settings: Mapping[str, str]) -> tuple[str, ...]:
    """Of these interfaces those on which rp_filter throws away what clients behind other interfaces send.

    The kernel takes the larger of an interface's and ``all``'s; 1 is strict, 0 off, 2 loose
    (Documentation/networking/ip-sysctl.rst).
    """
    of_all = settings.get(rp_filter("all"), "0")
    return tuple(
        each for each in interfaces if max(of_all, settings.get(rp_filter(each), _STRICT)) == _STRICT
    )


def rp_filter(interface: str) -> str:
    """The name under /proc/sys."""
    return f"net/ipv4/conf/{interface}/rp_filter"


def tunnel_faults(
    *, closed: Iterable[Tunnel], strict: Iterable[str], superfluous: Iterable[str]
) -> tuple[Fault, ...]:
    """What keeps packets from being opened, or opens them for nothing."""
    apply = "run `shoal realserver apply`"
    found = [Fault(where=str(each), problem="nothing here opens these packets", fix=apply) for each in closed]
    found += [
        Fault(
            where=f"sysctl {rp_filter(each).replace('/', '.')}",
            problem="it is strict, so packets of clients that are reached another way are thrown away",
            fix=f"{apply} (it must be 0 or 2)",
        )
        for each in strict
    ]
    found += [
        Fault(where=each, problem="it opens packets for no virtual server any more", fix=apply)
        for each in superfluous
    ]
    return tuple(found)


def mtu_advice(tunnels: Iterable[Tunnel], mtu: Mapping[str, int]) -> tuple[str, ...]:
    """What to do about the room that tunnels take; ``mtu`` is that of this host's interfaces."""
    overhead = max((each.overhead for each in tunnels), default=0)
    if not overhead:
        return ()
    return tuple(
        f"{interface}: MTU {bytes_} leaves {bytes_ - overhead} bytes for a client's packet; raise the MTU between "
        f"routers and real servers to {_USUAL_MTU + overhead}, or have clients send less: "
        f"ip route change default ... advmss {bytes_ - overhead - 40}"
        for interface, bytes_ in sorted(mtu.items())
        if bytes_ < _USUAL_MTU + overhead
    )


def _protocols(encap: Encapsulation) -> tuple[int, ...]:
    return {Encapsulation.IPIP: (_IPIP, _IPV6), Encapsulation.GRE: (_GRE,), Encapsulation.GUE: (_UDP,)}[encap]


def _mapped(address: Address) -> bytes:
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def _device_kinds(tunnel: Tunnel, families: set[int]) -> list[tuple[str, ...]]:
    """Types of ``ip link add``: one for the inner families, or one for each (ip-link(8))."""
    outer = tunnel.address.version
    if tunnel.encap is Encapsulation.GRE:
        return [("gre",) if outer == 4 else ("ip6gre",)]
    if tunnel.encap is Encapsulation.IPIP and outer == 6:
        return [("ip6tnl", "mode", "any")]
    if tunnel.encap is Encapsulation.IPIP:
        return [kind for family, kind in ((4, ("ipip",)), (6, ("sit",))) if family in families]
    return []
