"""The eBPF dataplane under real sockets: every hook and way of attaching carries the same traffic."""

import hashlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import find_interfaces
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Leaving, Listener, Protocol
from support.namespaces import CLIENT, SERVERS, VIP, counter, inside, run
from support.packets import encode_packet
from support.sites import DEADLINE, WAYS, Site, listen, open_in, site_by

BULK = 20_000_000


def service(name: str, protocol: Protocol, *, port: int, real_port: int) -> Service:
    """A round robin service over all the servers."""
    return Service(
        name=name,
        listeners=(Listener(address=VIP, port=port, protocol=protocol),),
        scheduler="rr",
        method=ForwardingMethod.NAT,
        destinations=tuple(Destination(address=server, port=real_port, weight=1) for server in SERVERS),
    )


WEB = service("web", Protocol.TCP, port=80, real_port=8080)
NAMES = service("names", Protocol.UDP, port=53, real_port=53)


@pytest.fixture(params=WAYS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """One site for each way of attaching."""
    with site_by(request.param, tmp_path) as built:
        built.dataplane.apply([PutService(service=WEB), PutService(service=NAMES)])
        yield built


def connect(site: Site) -> socket.socket:
    """A client's connection to the web service."""
    with inside(site.wires.client):
        return socket.create_connection((str(VIP), 80), timeout=DEADLINE)


def upload(sock: socket.socket, content: bytes) -> None:
    """Send everything and end the stream."""
    sock.sendall(content)
    sock.shutdown(socket.SHUT_WR)


def ask(sock: socket.socket, content: bytes) -> bytes:
    """Send something, and wait for an answer."""
    sock.sendall(content)
    return sock.recv(16)


def read_all(sock: socket.socket) -> bytes:
    """Until the other end closes."""
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def test_connections_reach_every_server_in_turn_and_see_the_virtual_address(site: Site) -> None:
    with listen(site, 8080) as listener:
        reached = []
        for _ in range(6):
            with connect(site) as client:
                server, (address, _) = listener.accept()
                with server:
                    reached.append(server.getsockname()[0])
                    assert address == "198.18.0.10"
                    server.sendall(b"hello")
                assert client.recv(16) == b"hello"
                assert client.getpeername() == (str(VIP), 80)
    assert reached == [str(server) for server in SERVERS] * 2


@pytest.mark.parametrize("content", [b"a line", b"x" * 300_000])
def test_a_client_of_a_removed_real_server_is_reset_when_told_so(site: Site, content: bytes) -> None:
    cutting = replace(WEB, on_removal=Leaving.RESET)
    site.dataplane.apply([PutService(service=cutting)])
    with listen(site, 8080) as listener, connect(site) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"hello")
            assert server.recv(16) == b"hello"
            left = tuple(each for each in WEB.destinations if str(each.address) != server.getsockname()[0])
            site.dataplane.apply([PutService(service=replace(cutting, destinations=left))])
            with pytest.raises(ConnectionResetError):
                ask(client, content)
        with connect(site) as again:
            other, _ = listener.accept()
            with other:
                other.sendall(b"welcome")
                assert again.recv(16) == b"welcome"


def test_udp_datagrams_are_answered_in_the_virtual_name(site: Site) -> None:
    with inside(site.wires.server):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO: answer from the address that was asked
        server.bind(("0.0.0.0", 53))
    with inside(site.wires.client):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.settimeout(DEADLINE)
        client.settimeout(DEADLINE)
        client.connect((str(VIP), 53))
        for number in range(5):
            question = b"question %d" % number * 40
            client.send(question)
            content, ancillary, _, sender = server.recvmsg(2048, 64)
            assert content == question
            server.sendmsg([b"answer %d" % number], ancillary, 0, sender)
            assert client.recv(2048) == b"answer %d" % number


def test_bulk_in_both_directions_arrives_whole_and_no_checksum_is_wrong(site: Site) -> None:
    content = random.Random(7).randbytes(BULK)
    names = ("TcpInCsumErrors", "TcpInErrs", "UdpInCsumErrors", "IpInHdrErrors")
    before = [counter(site.wires.server, name) + counter(site.wires.client, name) for name in names]
    with listen(site, 8080) as listener, connect(site) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(DEADLINE)
            sender = threading.Thread(target=upload, args=(client, content))
            sender.start()
            arrived = read_all(server)
            sender.join()
            assert hashlib.sha256(arrived).digest() == hashlib.sha256(content).digest()
            sender = threading.Thread(target=upload, args=(server, content))
            sender.start()
            returned = read_all(client)
            sender.join()
    assert hashlib.sha256(returned).digest() == hashlib.sha256(content).digest()
    assert [counter(site.wires.server, name) + counter(site.wires.client, name) for name in names] == before


def test_a_ping_to_the_virtual_address_is_answered_by_the_host(site: Site) -> None:
    with inside(site.wires.client):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with sock:
        sock.settimeout(DEADLINE)
        sock.sendto(
            bytes.fromhex("0800f7fd00010001"), (str(VIP), 0)
        )  # echo request, identifier 1, sequence 1
        answer, (address, _) = sock.recvfrom(1500)
    assert address == str(VIP)
    assert answer[20:] == bytes.fromhex("0000fffd00010001")


def test_a_port_without_a_listener_is_refused_by_the_host(site: Site) -> None:
    with inside(site.wires.client), pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(VIP), 81), timeout=DEADLINE)


def test_an_unknown_neighbour_is_resolved_and_nothing_is_lost(site: Site) -> None:
    with listen(site, 8080) as listener:
        for link in ("eth0", "eth1"):
            run(f"ip -n {site.wires.router} neigh flush dev {link}")
        retransmitted = counter(site.wires.client, "TcpRetransSegs")
        with connect(site) as client:
            server, _ = listener.accept()
            with server:
                server.sendall(b"hello")
                assert client.recv(16) == b"hello"
        assert counter(site.wires.client, "TcpRetransSegs") == retransmitted


def test_a_running_transfer_does_not_notice_that_the_control_plane_is_replaced(site: Site) -> None:
    """What kill -9 of lvsd, its restart and an upgrade of the programs are to the dataplane."""
    content = random.Random(8).randbytes(BULK)
    with listen(site, 8080) as listener, connect(site) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(DEADLINE)
            sender = threading.Thread(target=upload, args=(client, content))
            sender.start()
            digest = hashlib.sha256()
            for _ in range(3):
                digest.update(read_exactly(server, BULK // 4))
                site.reopen()
            digest.update(read_all(server))
            sender.join()
    assert digest.digest() == hashlib.sha256(content).digest()
    assert site.dataplane.adopted
    assert {name: whole.destinations for name, whole in site.dataplane.actual().services.items()} == {
        "web": WEB.destinations,
        "names": NAMES.destinations,
    }


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes."""
    parts = []
    while size:
        part = sock.recv(min(size, 1 << 16))
        assert part, "the transfer broke"
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def test_connections_are_listed_and_counted(site: Site) -> None:
    with listen(site, 8080) as listener, connect(site) as client:
        server, _ = listener.accept()
        with server:
            server.sendall(b"hello")
            assert client.recv(16) == b"hello"
            (listed,) = site.dataplane.connections(limit=10)
            counters = site.dataplane.counters().services["web"]
    assert listed.virtual == (VIP, 80)
    assert listed.real == (SERVERS[0], 8080)
    assert listed.state == "established"
    assert listed.virtual_server == "web"
    assert 890 < listed.expires_in <= 901
    first = counters.destinations[SERVERS[0], 8080]
    assert (counters.connections, first.active, first.inactive, first.connections) == (1, 1, 0, 1)
    assert first.packets_in >= 2
    assert first.packets_out >= 2


def test_removing_the_dataplane_leaves_nothing(site: Site) -> None:
    with inside(site.wires.router):
        site.dataplane.remove()
        assert "prog" not in run("tc filter show dev eth0 ingress")
        assert "prog/xdp" not in run("ip link show dev eth0")
    assert list(site.pins.rglob("*")) == []
    site.dataplane = open_in(site.wires.router, site.pins, site.hook)


def test_a_frame_for_another_host_is_never_forwarded(site: Site) -> None:
    """As a NIC in promiscuous mode sees it: the addresses are ours, the MAC is not."""
    with inside(site.wires.router):
        mac = find_interfaces(["eth0"])[0].mac
        run("ip link set eth0 promisc on")
    with inside(site.wires.client):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind(("eth0", 0))
    syn = Packet(
        source=CLIENT,
        source_port=40_000,
        destination=VIP,
        destination_port=80,
        protocol=Protocol.TCP,
        flags=TcpFlags.SYN,
    )
    with wire:
        wire.send(encode_packet(syn, destination_mac=bytes.fromhex("02aaaaaaaaaa")))
        wire.send(encode_packet(replace(syn, source_port=40_001), destination_mac=mac))
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and not list(site.dataplane.connections(limit=10)):
            time.sleep(0.01)
    (opened,) = site.dataplane.connections(limit=10)
    assert opened.client == (CLIENT, 40_001)
