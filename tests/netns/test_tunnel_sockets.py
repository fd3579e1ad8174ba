"""Tunnels under real sockets: every encapsulation and pair of families, opened as `shoal realserver` does."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from shoal.dataplane.base import Destination, Drop, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.model import Address, Encapsulation, ForwardingMethod, Hook, Listener, Protocol
from shoal.realserver.decapsulation import Decapsulation
from shoal.realserver.tunnels import openings, tunnel
from support.namespaces import bpffs, counter, inside, run
from support.segment import SERVERS, Segment, segment
from support.segment import VIP as VIP4

DEADLINE = 10.0
BULK = 4_000_000
FAMILIES = (4, 6)
KINDS = list(Encapsulation)
VIPS: dict[int, Address] = {4: VIP4, 6: ip_address("2001:db8:18::100")}
REALS: dict[int, Address] = {4: SERVERS[0], 6: ip_address("2001:db8:18::21")}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
CHECKSUM_ERRORS = (
    "TcpInCsumErrors",
    "UdpInCsumErrors",
    "Udp6InCsumErrors",
    "IpInHdrErrors",
    "Ip6InHdrErrors",
)
IP_MTU, IPV6_MTU = 14, 24


@dataclass
class Site:
    """A client, a router and a real server on one segment of either family."""

    segment: Segment
    dataplane: EbpfDataplane

    @property
    def client(self) -> str:
        """The namespace of the client."""
        return self.segment.client

    @property
    def server(self) -> str:
        """The namespace of the real server."""
        return self.segment.servers[0]

    def serve(self, outer: int, encap: Encapsulation) -> None:
        """Both virtual addresses, TCP port 80 and UDP port 53, through a tunnel of an outer family."""
        for port, protocol in ((80, Protocol.TCP), (53, Protocol.UDP)):
            listeners = tuple(Listener(address=vip, port=port, protocol=protocol) for vip in VIPS.values())
            there = Destination(address=REALS[outer], port=port, weight=1, encap=encap)
            service = Service(
                name=str(protocol),
                listeners=listeners,
                scheduler="rr",
                method=ForwardingMethod.TUNNEL,
                destinations=(there,),
            )
            self.dataplane.apply([PutService(service=service)])

    def forget_sizes(self) -> None:
        """What the client has learnt about ways that are smaller than its own."""
        for family in ("", "-6"):
            run(f"ip -n {self.client} {family} route flush cache")


@pytest.fixture(scope="module", params=[Hook.TC, Hook.XDP], ids=str)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        segment("stu") as found,
        bpffs(tmp_path_factory.mktemp("router")) as router,
        bpffs(tmp_path_factory.mktemp("server")) as server,
    ):
        speak_ipv6(found)
        opening = open_tunnels(found.servers[0], server)
        with inside(found.router):
            dataplane = EbpfDataplane.open(router / "pins", max_connections=4096)
            dataplane.attach(find_interfaces(["eth0"]), request.param)
        try:
            yield Site(found, dataplane)
        finally:
            with inside(found.router):
                dataplane.remove()
            opening.remove({})


def speak_ipv6(found: Segment) -> None:
    """Give every node an IPv6 address, and the router the virtual one."""
    for number, node in ((10, found.client), (1, found.router), (21, found.servers[0])):
        run(f"ip -n {node} address add 2001:db8:18::{number}/64 dev eth0 nodad")
    run(f"ip -n {found.router} address add {VIPS[6]}/128 dev eth0 nodad preferred_lft 0")
    run(f"ip netns exec {found.router} sysctl -qw net.ipv6.conf.all.forwarding=1")


def open_tunnels(server: str, folder: Path) -> Decapsulation:
    """Make a host a real server under tunnel, for every encapsulation."""
    run(f"ip netns exec {server} sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2")
    for family, vip in VIPS.items():
        run(f"ip -n {server} address add {vip}/{32 if family == 4 else 128} dev lo")
    tunnels = [tunnel(REALS[family], encap, 6080) for family in FAMILIES for encap in KINDS]
    program = Decapsulation(folder / "realserver")
    with inside(server):
        present = {name: index for index, name in socket.if_nameindex()}
        program.apply(openings(tunnels, VIPS.values()), interfaces=["eth0"], present=present)
    return program


def ways(test):
    """Every encapsulation and pair of families."""
    for name, values in (("inner", FAMILIES), ("outer", FAMILIES), ("encap", KINDS)):
        test = pytest.mark.parametrize(name, values)(test)
    return test


def listen(site: Site, inner: int) -> socket.socket:
    with inside(site.server):
        sock = socket.create_server((str(VIPS[inner]), 80), family=AF[inner])
    sock.settimeout(DEADLINE)
    return sock


def connect(site: Site, inner: int) -> socket.socket:
    with inside(site.client):
        return socket.create_connection((str(VIPS[inner]), 80), timeout=DEADLINE)


@ways
def test_bulk_arrives_whole_both_ways_and_no_checksum_is_wrong(
    site: Site, encap: Encapsulation, outer: int, inner: int
) -> None:
    site.serve(outer, encap)
    site.forget_sizes()
    content = random.Random(9).randbytes(BULK)
    before = [counter(site.server, name) for name in CHECKSUM_ERRORS]
    with listen(site, inner) as listener, connect(site, inner) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(DEADLINE)
            assert carried(client, server, content)
            assert carried(server, client, content)
    assert [counter(site.server, name) for name in CHECKSUM_ERRORS] == before
    reals = {each.real for each in site.dataplane.connections(limit=100)}
    assert (REALS[outer], 80) in reals


def carried(sender: socket.socket, receiver: socket.socket, content: bytes) -> bool:
    """Whether it arrives as it was sent."""
    thread = threading.Thread(target=sender.sendall, args=(content,))
    thread.start()
    digest, missing = hashlib.sha256(), len(content)
    while missing and (part := receiver.recv(1 << 16)):
        digest.update(part)
        missing -= len(part)
    thread.join()
    return digest.digest() == hashlib.sha256(content).digest()


@ways
def test_udp_is_answered_in_the_virtual_name(
    site: Site, encap: Encapsulation, outer: int, inner: int
) -> None:
    site.serve(outer, encap)
    with inside(site.server):
        server = socket.socket(AF[inner], socket.SOCK_DGRAM)
        server.bind((str(VIPS[inner]), 53))
    with inside(site.client):
        client = socket.socket(AF[inner], socket.SOCK_DGRAM)
    with server, client:
        server.settimeout(DEADLINE)
        client.settimeout(DEADLINE)
        client.connect((str(VIPS[inner]), 53))
        for number in range(5):
            client.send(b"question %d" % number * 40)
            question, sender = server.recvfrom(2048)
            assert question == b"question %d" % number * 40
            server.sendto(b"answer %d" % number, sender)
            assert client.recv(2048) == b"answer %d" % number


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
def test_the_client_learns_what_size_fits(site: Site, outer: int, inner: int) -> None:
    """Its own network carries 1,500 bytes; of those the outer header takes its part."""
    site.serve(outer, Encapsulation.GUE)
    site.forget_sizes()
    before = too_big(site)
    with listen(site, inner) as listener, connect(site, inner) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(DEADLINE)
            assert carried(client, server, bytes(200_000))
        level, name = (socket.IPPROTO_IP, IP_MTU) if inner == 4 else (socket.IPPROTO_IPV6, IPV6_MTU)
        assert client.getsockopt(level, name) == 1500 - {4: 32, 6: 52}[outer]
    assert too_big(site) > before


def too_big(site: Site) -> int:
    """How many packets have been refused for their size."""
    return site.dataplane.counters().services["tcp"].drops[Drop.PACKET_TOO_BIG]


@pytest.mark.parametrize("outer", FAMILIES)
def test_an_unknown_neighbour_is_resolved_and_nothing_is_lost(site: Site, outer: int) -> None:
    site.serve(outer, Encapsulation.IPIP)
    with listen(site, 4) as listener:
        run(f"ip -n {site.segment.router} neigh flush all")
        site.serve(outer, Encapsulation.GRE)
        retransmitted = counter(site.client, "TcpRetransSegs")
        with connect(site, 4) as client:
            server, _ = listener.accept()
            with server:
                server.sendall(b"hello")
                assert client.recv(16) == b"hello"
        assert counter(site.client, "TcpRetransSegs") == retransmitted
