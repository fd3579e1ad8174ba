"""One client, three servers, and between them one router for each way of balancing, all joined by plain veth.

    client --to-N-- public [router N] server1..3 --from-N-- server1..3

The routers stand side by side, each with networks and virtual addresses of its own, so nothing is set up or torn down
between measurements: the client chooses a router by the address it asks for. Addresses are of 198.18.0.0/15 (RFC 2544),
neighbours are static, the congestion control is the same everywhere.

Call ``machine.leave_the_host()`` first: the namespaces then go with the process.
"""

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from shoal.lab import namespaces

CLIENT = "sbe-client"
N_SERVERS = 3
CONGESTION_CONTROL = "reno"  # in every kernel
FLOWS_PER_ADDRESS = 16384  # as harness.bpf.c spreads them

_COMMON = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.ip_local_port_range": "1024 65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
    "net.ipv4.tcp_tw_reuse": "1",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
    "net.core.somaxconn": "65535",
}
# Sockets of a proxy must not be found for packets that are only forwarded.
_ROUTER = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.fib_multipath_hash_policy": "1",
    "net.ipv4.ip_early_demux": "0",
}


def server_name(number: int) -> str:
    """The namespace of server 1..3."""
    return f"sbe-server{number}"


def _mac(router: int, place: int, end: int) -> str:
    return f"02:00:00:{router:02x}:{place:02x}:{end:02x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Router number 0..6 of the site, called after what it does. ``place`` 0 is the public side, 1..3 the servers'."""

    mode: str
    number: int

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return f"sbe-{self.mode}"

    @property
    def public(self) -> IPv4Interface:
        """Its address on the client's side."""
        return IPv4Interface(f"198.18.{self.number * 32}.1/19")

    @property
    def client(self) -> IPv4Address:
        """The client's address towards it."""
        return self.public.ip + 9

    @property
    def flows(self) -> IPv4Address:
        """The first of 4,096 addresses that generated packets come from."""
        return IPv4Address(f"198.18.{self.number * 32 + 16}.0")

    @property
    def web(self) -> IPv4Address:
        """The virtual address that is spread over all servers."""
        return IPv4Address(f"198.19.{self.number}.1")

    @property
    def bulk(self) -> IPv4Address:
        """The virtual address of server 1 alone: iperf3 needs both of its connections at one server."""
        return IPv4Address(f"198.19.{self.number}.2")

    def private(self, server: int) -> IPv4Interface:
        """Its address on the network of a server."""
        return IPv4Interface(f"198.19.{100 + self.number * 10 + server}.1/24")

    def real(self, server: int) -> IPv4Address:
        """The server's address there."""
        return self.private(server).ip + 1

    @property
    def reals(self) -> tuple[IPv4Address, ...]:
        """The addresses of all servers."""
        return tuple(self.real(server) for server in range(1, N_SERVERS + 1))

    @property
    def client_link(self) -> str:
        """The client's interface towards it."""
        return f"to-{self.number}"

    @property
    def server_link(self) -> str:
        """Every server's interface towards it."""
        return f"from-{self.number}"

    @property
    def links(self) -> tuple[str, ...]:
        """Its own interfaces."""
        return ("public", *(f"server{server}" for server in range(1, N_SERVERS + 1)))

    @property
    def public_macs(self) -> tuple[bytes, bytes]:
        """Destination and source of a frame from the client."""
        return tuple(bytes.fromhex(_mac(self.number, 0, end).replace(":", "")) for end in (1, 2))  # type: ignore


def build(modes: Sequence[str]) -> tuple[Router, ...]:
    """Make the namespaces and join them; one router for each mode, which does not balance anything yet."""
    Path("/run/netns").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
    routers = tuple(Router(mode=mode, number=number) for number, mode in enumerate(modes))
    ends = [CLIENT, *(server_name(server) for server in range(1, N_SERVERS + 1))]
    everything = [*ends, *(router.namespace for router in routers)]
    namespaces.add(everything)
    for name in everything:
        namespaces.batch(["link set lo up"], namespace=name)
        _set(name, _COMMON)
    for router in routers:
        _set(router.namespace, _ROUTER)
        _join_client(router)
        for server in range(1, N_SERVERS + 1):
            _join_server(router, server)
    return routers


def _set(namespace: str, settings: dict[str, str]) -> None:
    values = [f"{name}={value}" for name, value in settings.items()]
    done = namespaces.run(namespace, ["sysctl", "-qw", *values])
    if done.returncode != 0:
        raise RuntimeError(f"{namespace}: {done.stderr.strip()}")


def _join_client(router: Router) -> None:
    """The wire between client and router, and the client's way to the virtual addresses."""
    near, far = _mac(router.number, 0, 1), _mac(router.number, 0, 2)
    client, link = router.client, router.client_link
    namespaces.batch(
        [
            f"link add public address {near} type veth peer name {link} address {far} netns {CLIENT}",
            f"address add {router.public} dev public",
            "link set public up",
            f"neighbour replace {client} lladdr {far} dev public nud permanent",
            _connected(router.public, "public"),
        ],
        namespace=router.namespace,
    )
    namespaces.batch(
        [
            f"address add {client}/{router.public.network.prefixlen} dev {link}",
            f"link set {link} up",
            f"neighbour replace {router.public.ip} lladdr {near} dev {link} nud permanent",
            f"route replace {router.web} via {router.public.ip} src {client} congctl {CONGESTION_CONTROL}",
            f"route replace {router.bulk} via {router.public.ip} src {client} congctl {CONGESTION_CONTROL}",
        ],
        namespace=CLIENT,
    )


def _join_server(router: Router, server: int) -> None:
    """The wire between router and server, and the server's way back. It also holds the virtual addresses, on lo."""
    near, far = _mac(router.number, server, 1), _mac(router.number, server, 2)
    name, link, inner = server_name(server), router.server_link, f"server{server}"
    private, real = router.private(server), router.real(server)
    namespaces.batch(
        [
            f"link add {inner} address {near} type veth peer name {link} address {far} netns {name}",
            f"address add {private} dev {inner}",
            f"link set {inner} up",
            f"neighbour replace {real} lladdr {far} dev {inner} nud permanent",
            _connected(private, inner),
        ],
        namespace=router.namespace,
    )
    namespaces.batch(
        [
            f"address add {real}/24 dev {link}",
            f"address add {router.web}/32 dev lo",
            f"address add {router.bulk}/32 dev lo",
            f"link set {link} up",
            f"neighbour replace {private.ip} lladdr {near} dev {link} nud permanent",
            f"route replace {router.public.network} via {private.ip} congctl {CONGESTION_CONTROL}",
        ],
        namespace=name,
    )


def _connected(address: IPv4Interface, link: str) -> str:
    """The route that the address brings, with the congestion control that a proxy on the router shall use."""
    return (
        f"route replace {address.network} dev {link} proto kernel scope link src {address.ip} "
        f"congctl {CONGESTION_CONTROL}"
    )


def daemon(namespace: str, command: Iterable[str]) -> subprocess.Popen[bytes]:
    """Start a program in a namespace; it ends with this process at the latest."""
    full = ["setpriv", "--pdeathsig", "KILL", *command]
    return subprocess.Popen(
        namespaces.enter(namespace, full),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
