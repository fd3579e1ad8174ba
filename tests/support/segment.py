"""One public network with everybody on it, as direct routing wants it: a client, a router, two real servers."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from support.namespaces import own_name, run

VIP = IPv4Address("198.18.0.100")
CLIENT = IPv4Address("198.18.0.10")
ROUTER = IPv4Address("198.18.0.1")
SERVERS = (IPv4Address("198.18.0.21"), IPv4Address("198.18.0.22"))


@dataclass(frozen=True, slots=True)
class Segment:
    """The namespaces; each node's interface is eth0. ``macs`` are theirs, by address."""

    client: str
    router: str
    servers: tuple[str, ...]
    macs: dict[IPv4Address, bytes]


@contextlib.contextmanager
def segment(prefix: str) -> Iterator[Segment]:
    """Namespaces on one bridge. The router has the virtual address; the real servers are plain hosts."""
    own = own_name(prefix)
    nodes = {CLIENT: f"{own}-client", ROUTER: f"{own}-router"}
    nodes |= {server: f"{own}-rs{number}" for number, server in enumerate(SERVERS, 1)}
    switch = f"{own}-net"
    try:
        run(f"ip netns add {switch} && ip -n {switch} link add br0 type bridge stp_state 0 mcast_snooping 0")
        run(f"ip -n {switch} link set br0 up")
        for address, name in nodes.items():
            _plug(name, address, switch)
        run(f"ip -n {nodes[ROUTER]} address add {VIP}/32 dev eth0")
        run(f"ip netns exec {nodes[ROUTER]} sysctl -qw net.ipv4.ip_forward=1")
        macs = {address: _mac(address) for address in nodes}
        servers = tuple(nodes[server] for server in SERVERS)
        yield Segment(nodes[CLIENT], nodes[ROUTER], servers, macs)
    finally:
        for name in (*nodes.values(), switch):
            if Path(f"/run/netns/{name}").exists():
                run(f"ip netns del {name}")


def _mac(address: IPv4Address) -> bytes:
    return bytes.fromhex("02000000") + address.packed[2:]


def _plug(name: str, address: IPv4Address, switch: str) -> None:
    port = f"p{address.packed[3]}"
    run(f"ip netns add {name} && ip -n {name} link set lo up")
    run(f"ip link add {port} netns {switch} type veth peer name eth0 netns {name}")
    run(f"ip -n {name} link set eth0 address {_mac(address).hex(':')} up")
    run(f"ip -n {switch} link set {port} master br0 up")
    run(f"ip netns exec {switch} ethtool -K {port} gro on")  # XDP's frames to a veth need its peer's NAPI
    run(f"ip -n {name} address add {address}/24 dev eth0")
