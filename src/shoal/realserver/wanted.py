"""What direct routing and tunnels ask of a real server alike, and what is missing. Pure.

Every real server has the virtual addresses, so none may answer ARP for them, or clients would find it past the router.
They stand on lo; ``arp_ignore`` 1 answers only for addresses of the interface that was asked, and ``arp_announce`` 2
never asks in the name of an address of another interface (Documentation/networking/ip-sysctl.rst of the kernel).

IPv6 needs no setting: neighbour discovery looks for the target only among the addresses of the interface that was
asked (``ndisc_recv_ns``), and asks in the name of one of its own (``ndisc_solicit``, both net/ipv6/ndisc.c).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shoal.model import Address, Cluster, ForwardingMethod, Interface, address_order

TAG = 0x52  # IFA_PROTO of the addresses added here; not the router's, which removes what it does not know
LOOPBACK = "lo"
_ASKS = {4: "ARP", 6: "neighbour discovery"}
_ARP = {"arp_ignore": "1", "arp_announce": "2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An address that is configured now, its interface, and its maker's tag (0 without one)."""

    interface: str
    address: Interface
    tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it should be, and how to put it right."""

    where: str
    problem: str
    fix: str


def virtual_addresses(cluster: Cluster, *, own: Iterable[Address]) -> tuple[Address, ...]:
    """The addresses of the virtual servers that reach a host with these addresses by direct routing or a tunnel."""
    here = set(own)
    found = {
        listener.address
        for server in cluster.virtual_servers
        if any(
            each.address in here and server.method_of(each) in (ForwardingMethod.DR, ForwardingMethod.TUNNEL)
            for each in server.real_servers
        )
        for listener in server.listeners
    }
    return tuple(sorted(found, key=address_order))


def sysctls(wanted: Iterable[Address], *, interfaces: Iterable[str]) -> dict[str, str]:
    """Names under /proc/sys with their values; none where no virtual address is IPv4.

    The kernel takes the larger of an interface's and ``all``'s.
    """
    if all(address.version == 6 for address in wanted):
        return {}
    return _arp_sysctls(interfaces)


def _arp_sysctls(interfaces: Iterable[str]) -> dict[str, str]:
    places = ("all", *interfaces)
    return {f"net/ipv4/conf/{place}/{name}": value for place in places for name, value in _ARP.items()}


def missing(wanted: Iterable[Address], present: Iterable[Standing]) -> tuple[Address, ...]:
    """The virtual addresses that are not on lo yet."""
    there = {each.address.ip for each in present if each.interface == LOOPBACK}
    return tuple(address for address in wanted if address not in there)


def superfluous(wanted: Iterable[Address], present: Iterable[Standing]) -> tuple[Interface, ...]:
    """The addresses on lo that were added here and are not wanted any more."""
    keep = set(wanted)
    ours = (each.address for each in present if each.interface == LOOPBACK and each.tag == TAG)
    return tuple(address for address in ours if address.ip not in keep)


def faults(
    wanted: Iterable[Address], present: Iterable[Standing], settings: Mapping[str, str]
) -> tuple[Fault, ...]:
    """Everything that keeps this host from being a real server; ``settings`` are sysctls with their values now."""
    present, wanted, apply = tuple(present), tuple(wanted), "run `shoal realserver apply`"
    absent = missing(wanted, present)
    found = [Fault(where=str(address), problem="it is not on lo", fix=apply) for address in absent]
    found += [
        Fault(
            where=f"{each.address.ip} on {each.interface}",
            problem=f"a virtual address on a network's interface is answered for by {_ASKS[each.address.version]}",
            fix=f"ip address del {each.address} dev {each.interface}",
        )
        for each in present
        if each.interface != LOOPBACK and each.address.ip in wanted
    ]
    found += [
        Fault(where=str(address), problem="it is on lo and not a virtual address any more", fix=apply)
        for address in superfluous(wanted, present)
    ]
    names = [name.split("/")[3] for name in settings]
    right = _arp_sysctls(dict.fromkeys(name for name in names if name != "all"))
    found += [
        Fault(
            where=f"sysctl {name.replace('/', '.')}",
            problem=f"it is {value}, so this host may answer ARP for the virtual addresses",
            fix=f"{apply} (it must be {right[name]})",
        )
        for name, value in settings.items()
        if value != right[name]
    ]
    return tuple(found)
