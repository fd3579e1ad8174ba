"""IPv6 extension headers under real sockets, whose kernels write them and read them, both ways, on TC and XDP."""

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
from shoal.model import Encapsulation, ForwardingMethod, Hook, Listener, Protocol
from shoal.realserver.decapsulation import Decapsulation
from shoal.realserver.tunnels import openings, tunnel
from support.extension_headers import Extension, hop_by_hop, options
from support.namespaces import Wires, bpffs, counter, inside, run, wires

DEADLINE = 10.0
BULK = random.Random(17).randbytes(1_000_000)
VIP, CLIENT, REAL = (ip_address(f"2001:db8:{end}") for end in ("18::100", "18::10", "19::21"))
NAT, TUNNEL = ForwardingMethod.NAT, ForwardingMethod.TUNNEL
PORTS = {NAT: 80, TUNNEL: 81}
PLAIN = 1500 - 40 - 20 - 12  # bytes of a segment with timestamps and without extension headers
ERRORS = ("TcpInCsumErrors", "Udp6InCsumErrors", "Ip6InHdrErrors", "Ip6InUnknownProtos", "Ip6ReasmFails")
# what a socket sends (RFC 3542 6 and 7), and what tells another to hand it over
SENDS = {
    "hop-by-hop": ((socket.IPV6_HOPOPTS, hop_by_hop(16)),),
    "destination": ((socket.IPV6_DSTOPTS, options(24)),),
    "both": ((socket.IPV6_HOPOPTS, hop_by_hop(48)), (socket.IPV6_DSTOPTS, options(64))),
}
WANTS = {socket.IPV6_HOPOPTS: socket.IPV6_RECVHOPOPTS, socket.IPV6_DSTOPTS: socket.IPV6_RECVDSTOPTS}
Options = tuple[tuple[int, Extension], ...]


@dataclass
class Site:
    """A router with its dataplane between a client and a real server."""

    wires: Wires
    dataplane: EbpfDataplane

    def serve(self, method: ForwardingMethod) -> None:
        """A port of TCP and UDP."""
        encap = Encapsulation.IPIP if method is TUNNEL else None
        service = Service(
            name=str(method),
            listeners=tuple(
                Listener(address=VIP, port=PORTS[method], protocol=each)
                for each in (Protocol.TCP, Protocol.UDP)
            ),
            scheduler="rr",
            method=method,
            destinations=(Destination(address=REAL, port=PORTS[method], weight=1, encap=encap),),
        )
        self.dataplane.apply([PutService(service=service)])

    def errors(self) -> list[int]:
        """What both ends have found wrong."""
        return [counter(end, name) for end in (self.wires.client, self.wires.server) for name in ERRORS]


@pytest.fixture(scope="module", params=[Hook.TC, Hook.XDP], ids=str)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folders = [tmp_path_factory.mktemp(name) for name in ("router", "server")]
    with wires("sxs") as found, bpffs(folders[0]) as router, bpffs(folders[1]) as server:
        speak_ipv6(found)
        opening = open_tunnel(found.server, server)
        with inside(found.router):
            dataplane = EbpfDataplane.open(router / "pins", max_connections=1024)
            dataplane.attach(find_interfaces(["eth0", "eth1"]), request.param)
        try:
            yield Site(found, dataplane)
        finally:
            with inside(found.router):
                dataplane.remove()
            opening.remove({})


def speak_ipv6(found: Wires) -> None:
    """Addresses and routes; the real server has the virtual address too, for the tunnel."""
    for node, address, link in (
        (found.client, f"{CLIENT}/64", "eth0"),
        (found.router, "2001:db8:18::1/64", "eth0"),
        (found.router, f"{VIP}/128", "eth0"),
        (found.router, "2001:db8:19::1/64", "eth1"),
        (found.server, f"{REAL}/64", "eth0"),
        (found.server, f"{VIP}/128", "lo"),
    ):
        run(f"ip -n {node} address add {address} dev {link} nodad")
    run(f"ip -n {found.server} -6 route add default via 2001:db8:19::1")
    run(f"ip netns exec {found.router} sysctl -qw net.ipv6.conf.all.forwarding=1")
    for name in (found.client, found.server):  # frames redirected to a veth need its peer's NAPI
        run(f"ip netns exec {name} ethtool -K eth0 gro on")


def open_tunnel(server: str, folder: Path) -> Decapsulation:
    """As `shoal realserver` does."""
    program = Decapsulation(folder / "realserver")
    with inside(server):
        present = {name: index for index, name in socket.if_nameindex()}
        wanted = openings([tunnel(REAL, Encapsulation.IPIP, 6080)], [VIP])
        program.apply(wanted, interfaces=["eth0"], present=present)
    return program


def open_socket(namespace: str, kind: socket.SocketKind) -> socket.socket:
    with inside(namespace):
        sock = socket.socket(socket.AF_INET6, kind)
    sock.settimeout(DEADLINE)
    return sock


def send_with(sock: socket.socket, chosen: Options) -> None:
    """From now on with these headers."""
    for name, header in chosen:
        sock.setsockopt(socket.IPPROTO_IPV6, name, b"\0" + header.content)


def listening(site: Site, kind: socket.SocketKind, method: ForwardingMethod) -> socket.socket:
    """The real server's. Through a tunnel it answers in the virtual address's name."""
    server = open_socket(site.wires.server, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((str(REAL if method is NAT else VIP), PORTS[method]))
    return server


def read_with(sock: socket.socket, chosen: Options) -> tuple[bytes, tuple[str, int]]:
    """A datagram and its sender; it must have come behind these headers."""
    content, found, _, sender = sock.recvmsg(65_536, 1024)
    behind = {name: header[1:] for level, name, header in found if level == socket.IPPROTO_IPV6}
    assert behind == {name: header.content for name, header in chosen}
    return content, sender


@pytest.mark.parametrize("method", [NAT, TUNNEL], ids=str)
@pytest.mark.parametrize("sends", SENDS.values(), ids=SENDS)
def test_datagrams_arrive_with_them_both_ways_whole_and_in_fragments(
    site: Site, sends: Options, method: ForwardingMethod
) -> None:
    site.serve(method)
    before = site.errors()
    with (
        listening(site, socket.SOCK_DGRAM, method) as server,
        open_socket(site.wires.client, socket.SOCK_DGRAM) as client,
    ):
        client.connect((str(VIP), PORTS[method]))
        for sock in (client, server):
            send_with(sock, sends)
            for name, _ in sends:
                sock.setsockopt(socket.IPPROTO_IPV6, WANTS[name], 1)
        for size in (1, 1000, 4000, 20_000) if method is NAT else (1, 1000):
            client.send(BULK[:size])
            content, sender = read_with(server, sends)
            assert content == BULK[:size]
            server.sendto(content[::-1], sender)
            assert read_with(client, sends)[0] == BULK[:size][::-1]
    assert site.errors() == before


@pytest.mark.parametrize("method", [NAT, TUNNEL], ids=str)
@pytest.mark.parametrize("sends", SENDS.values(), ids=SENDS)
def test_bulk_arrives_whole_both_ways_over_tcp(site: Site, sends: Options, method: ForwardingMethod) -> None:
    site.serve(method)
    run(f"ip -n {site.wires.client} -6 route flush cache")
    before = site.errors()
    with (
        listening(site, socket.SOCK_STREAM, method) as listener,
        open_socket(site.wires.client, socket.SOCK_STREAM) as client,
    ):
        for sock in (client, listener):
            send_with(sock, sends)
        listener.listen()
        client.connect((str(VIP), PORTS[method]))
        server, _ = listener.accept()
        with server:
            server.settimeout(DEADLINE)
            assert carried(client, server)
            assert carried(server, client)
        overhead = sum(1 + len(header.content) for _, header in sends)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= PLAIN - overhead
    assert site.errors() == before
    drops = {name for name, count in site.dataplane.counters().services[str(method)].drops.items() if count}
    assert drops <= {Drop.PACKET_TOO_BIG}


def carried(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether much content arrives as it was sent."""
    thread = threading.Thread(target=sender.sendall, args=(BULK,))
    thread.start()
    found = bytearray()
    while len(found) < len(BULK) and (part := receiver.recv(1 << 16)):
        found += part
    thread.join(DEADLINE)
    return bytes(found) == BULK


@pytest.mark.parametrize("sends", SENDS.values(), ids=SENDS)
def test_a_closed_port_is_told_to_who_sent_them(site: Site, sends: Options) -> None:
    """The error quotes the packet with its headers."""
    site.serve(NAT)
    with open_socket(site.wires.client, socket.SOCK_DGRAM) as client:
        send_with(client, sends)
        client.connect((str(VIP), 80))
        client.send(b"question")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
