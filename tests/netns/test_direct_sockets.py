"""Direct routing under real sockets, on one arm: requests by way of the router, replies straight from the server."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.model import ForwardingMethod, Hook, Listener, Protocol
from support.namespaces import bpffs, counter, inside, run
from support.segment import ROUTER, SERVERS, VIP, Segment, segment

DEADLINE = 10.0
BULK = 20_000_000
ETHERTYPE_IPV4 = 0x0800


def service(name: str, protocol: Protocol, port: int) -> Service:
    """A round robin service over both servers."""
    return Service(
        name=name,
        listeners=(Listener(address=VIP, port=port, protocol=protocol),),
        scheduler="rr",
        method=ForwardingMethod.DR,
        destinations=tuple(Destination(address=server, port=port, weight=1) for server in SERVERS),
    )


@dataclass
class Site:
    """A router that forwards directly, and its segment."""

    segment: Segment
    dataplane: EbpfDataplane


def hold_the_virtual_address(server: str) -> None:
    """What direct routing asks of a real server: the address on lo, and silence about it."""
    run(f"ip netns exec {server} sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2")
    run(f"ip -n {server} address add {VIP}/32 dev lo")


@pytest.fixture(params=[Hook.TC, Hook.XDP], ids=str)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with segment("sdr") as found, bpffs(tmp_path) as folder:
        for server in found.servers:
            hold_the_virtual_address(server)
        with inside(found.router):
            dataplane = EbpfDataplane.open(folder / "pins", max_connections=4096)
            dataplane.attach(find_interfaces(["eth0"]), request.param)
        web, names = service("web", Protocol.TCP, 80), service("names", Protocol.UDP, 53)
        dataplane.apply([PutService(service=web), PutService(service=names)])
        try:
            yield Site(found, dataplane)
        finally:
            with inside(found.router):
                dataplane.remove()


def listen(server: str) -> socket.socket:
    with inside(server):
        sock = socket.create_server((str(VIP), 80))
    sock.settimeout(DEADLINE)
    return sock


def connect(site: Site) -> socket.socket:
    with inside(site.segment.client):
        return socket.create_connection((str(VIP), 80), timeout=DEADLINE)


def sender_of_next(wire: socket.socket) -> bytes:
    """The MAC that the next IPv4 frame from the virtual address came from."""
    while True:
        frame = wire.recv(2048)
        if frame[26:30] == VIP.packed:
            return frame[6:12]


def test_a_connection_is_answered_by_the_real_server_past_the_router(site: Site) -> None:
    with inside(site.segment.client):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE_IPV4))
    wire.settimeout(DEADLINE)
    with wire, listen(site.segment.servers[0]) as listener, connect(site) as client:
        server, (address, _) = listener.accept()
        with server:
            server.sendall(b"hello")
            assert client.recv(16) == b"hello"
            assert (address, client.getpeername()) == ("198.18.0.10", (str(VIP), 80))
            assert sender_of_next(wire) == site.segment.macs[SERVERS[0]]
            (listed,) = site.dataplane.connections(limit=10)
    assert (listed.real, listed.state) == ((SERVERS[0], 80), "established")
    counted = site.dataplane.counters().services["web"].destinations[SERVERS[0], 80]
    assert counted.packets_in >= 2
    assert counted.packets_out == 0


def test_connections_reach_the_real_servers_in_turn(site: Site) -> None:
    with listen(site.segment.servers[0]) as first, listen(site.segment.servers[1]) as second:
        for listener in (first, second, first, second):
            with connect(site), listener.accept()[0]:
                pass


def test_udp_is_answered_in_the_virtual_name_past_the_router(site: Site) -> None:
    with inside(site.segment.servers[0]):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((str(VIP), 53))
    with inside(site.segment.client):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.settimeout(DEADLINE)
        client.settimeout(DEADLINE)
        client.connect((str(VIP), 53))
        for number in range(5):
            client.send(b"question %d" % number * 40)
            question, sender = server.recvfrom(2048)
            assert question == b"question %d" % number * 40
            server.sendto(b"answer %d" % number, sender)
            assert client.recv(2048) == b"answer %d" % number


def test_bulk_arrives_whole_and_no_checksum_is_wrong(site: Site) -> None:
    content = random.Random(9).randbytes(BULK)
    names = ("TcpInCsumErrors", "TcpInErrs", "IpInHdrErrors")
    server = site.segment.servers[0]
    before = [counter(server, name) for name in names]
    with listen(server) as listener, connect(site) as client:
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(DEADLINE)
            sender = threading.Thread(target=upload, args=(client, content))
            sender.start()
            digest = hashlib.sha256()
            while part := accepted.recv(1 << 16):
                digest.update(part)
            sender.join()
    assert digest.digest() == hashlib.sha256(content).digest()
    assert [counter(server, name) for name in names] == before


def upload(sock: socket.socket, content: bytes) -> None:
    """Send everything and end the stream."""
    sock.sendall(content)
    sock.shutdown(socket.SHUT_WR)


def test_an_unknown_neighbour_is_resolved_and_nothing_is_lost(site: Site) -> None:
    with listen(site.segment.servers[0]) as listener:
        run(f"ip -n {site.segment.router} neigh flush dev eth0")
        retransmitted = counter(site.segment.client, "TcpRetransSegs")
        with connect(site) as client:
            server, _ = listener.accept()
            with server:
                server.sendall(b"hello")
                assert client.recv(16) == b"hello"
        assert counter(site.segment.client, "TcpRetransSegs") == retransmitted


def test_only_the_router_answers_arp_for_the_virtual_address(site: Site) -> None:
    with listen(site.segment.servers[0]) as listener, connect(site), listener.accept()[0]:
        neighbour = run(f"ip -n {site.segment.client} neigh show {VIP} dev eth0")
    assert site.segment.macs[ROUTER].hex(":") in neighbour
