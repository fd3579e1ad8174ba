"""Fragments and ICMP errors under real sockets: the kernels at both ends take them for their own."""

import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.model import ForwardingMethod, Hook, Listener, Protocol
from support.namespaces import CLIENT, SERVERS, VIP, Wires, bpffs, counter, inside, run, wires
from support.packets import ETHERNET, IPV4, checksum

DEADLINE = 5.0
PIECE = 1480
DATAGRAM = random.Random(3).randbytes(20_000)
NAMES = Service(
    name="names",
    listeners=(Listener(address=VIP, port=53, protocol=Protocol.UDP),),
    scheduler="rr",
    method=ForwardingMethod.NAT,
    destinations=(Destination(address=SERVERS[0], port=5353, weight=1),),
)


@dataclass
class Site:
    """A router with its dataplane, and the namespaces around it."""

    wires: Wires
    dataplane: EbpfDataplane


@pytest.fixture(params=[Hook.TC, Hook.XDP], ids=str)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """NAT between a client and a server."""
    with wires("sfr") as names, bpffs(tmp_path) as folder:
        for name in (names.client, names.server):  # frames redirected to a veth need its peer's NAPI
            run(f"ip netns exec {name} ethtool -K eth0 gro on")
        with inside(names.router):
            dataplane = EbpfDataplane.open(folder / "pins", max_connections=1024)
            dataplane.attach(find_interfaces(["eth0", "eth1"]), request.param)
        dataplane.apply([PutService(service=NAMES)])
        try:
            yield Site(names, dataplane)
        finally:
            with inside(names.router):
                dataplane.remove()


def datagram_socket(namespace: str, port: int = 0) -> socket.socket:
    with inside(namespace):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", port))
    sock.settimeout(DEADLINE)
    return sock


def test_datagrams_above_the_mtu_arrive_whole_in_both_directions(site: Site) -> None:
    with datagram_socket(site.wires.server, 5353) as server, datagram_socket(site.wires.client) as client:
        client.connect((str(VIP), 53))
        for size in (1473, 4000, len(DATAGRAM)):
            client.send(DATAGRAM[:size])
            question, sender = server.recvfrom(65_536)
            assert question == DATAGRAM[:size]
            server.sendto(question[::-1], sender)
            assert client.recv(65_536) == DATAGRAM[:size][::-1]
    assert site.dataplane.counters().drops == {}


def pieces(port: int, identification: int) -> list[bytes]:
    """The frames' contents of one UDP datagram from the client to the virtual address, first to last."""
    ends = CLIENT.packed + VIP.packed
    length = 8 + len(DATAGRAM)
    header = struct.pack("!HHHH", port, 53, length, 0)
    found = checksum(ends + struct.pack("!BBH", 0, 17, length) + header + DATAGRAM)
    whole = header[:6] + struct.pack("!H", found) + DATAGRAM
    packets = []
    for offset in range(0, len(whole), PIECE):
        part = whole[offset : offset + PIECE]
        place = offset // 8 | (0x2000 if offset + PIECE < len(whole) else 0)
        fields = (0x45, 0, 20 + len(part), identification, place, 64, 17)
        bare = IPV4.pack(*fields, 0, CLIENT.packed, VIP.packed)
        packets.append(IPV4.pack(*fields, checksum(bare), CLIENT.packed, VIP.packed) + part)
    return packets


def send_on_the_wire(site: Site, packets: list[bytes]) -> None:
    """From the client's interface to the router's, in this order."""
    client, router = (mac_of(name) for name in (site.wires.client, site.wires.router))
    with inside(site.wires.client):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with wire:
        wire.bind(("eth0", 0))
        for packet in packets:
            wire.send(ETHERNET.pack(router, client, 0x0800) + packet)


def mac_of(namespace: str) -> bytes:
    return bytes.fromhex(
        run(f"ip netns exec {namespace} cat /sys/class/net/eth0/address").strip().replace(":", "")
    )


@pytest.mark.parametrize("order", ["forwards", "backwards", "shuffled"])
def test_fragments_in_any_order_arrive_as_one_datagram(site: Site, order: str) -> None:
    with datagram_socket(site.wires.server, 5353) as server:
        for number in range(5):
            packets = pieces(40_000 + number, 100 + number)
            if order == "backwards":
                packets.reverse()
            elif order == "shuffled":
                random.Random(number).shuffle(packets)
            send_on_the_wire(site, packets)
            question, (address, port) = server.recvfrom(65_536)
            assert question == DATAGRAM
            assert (address, port) == (str(CLIENT), 40_000 + number)
    assert site.dataplane.counters().drops == {}
    assert counter(site.wires.server, "IpReasmFails") == 0


def test_a_closed_port_of_the_real_server_is_told_to_the_client(site: Site) -> None:
    with datagram_socket(site.wires.client) as client:
        client.connect((str(VIP), 53))
        client.send(b"question")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


def test_a_closed_port_of_the_client_is_told_to_the_real_server(site: Site) -> None:
    with datagram_socket(site.wires.server, 5353) as server:
        with datagram_socket(site.wires.client) as client:
            client.connect((str(VIP), 53))
            client.send(b"question")
            _, sender = server.recvfrom(100)
        server.connect(sender)
        server.send(b"answer")
        with pytest.raises(ConnectionRefusedError):
            server.recv(100)
