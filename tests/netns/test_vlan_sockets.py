"""Tagged frames on the wire: a VLAN's are its own device's, those with a priority alone are like others."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.dataplane.packet import Packet
from shoal.model import ForwardingMethod, Hook, Listener, Protocol
from support.namespaces import CLIENT, SERVERS, VIP, Wires, bpffs, inside, run, wires
from support.packets import encode_packet

DEADLINE = 5.0
TAG = 0x8100
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
    with wires("svl") as names, bpffs(tmp_path) as folder:
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


def datagram_socket(namespace: str, port: int) -> socket.socket:
    with inside(namespace):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", port))
    sock.settimeout(DEADLINE)
    return sock


def send_tagged(site: Site, content: bytes, *tags: int) -> None:
    """A question from the client's wire to the virtual address, in a frame with these tags (IEEE 802.1Q)."""
    packet = Packet(
        source=CLIENT,
        source_port=40_000,
        destination=VIP,
        destination_port=53,
        protocol=Protocol.UDP,
        payload=content,
    )
    frame = encode_packet(
        packet, source_mac=mac_of(site.wires.client), destination_mac=mac_of(site.wires.router)
    )
    between = b"".join(struct.pack("!HH", TAG, tag) for tag in tags)
    with inside(site.wires.client):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with wire:
        wire.bind(("eth0", 0))
        wire.send(frame[:12] + between + frame[12:])


def mac_of(namespace: str) -> bytes:
    text = run(f"ip netns exec {namespace} cat /sys/class/net/eth0/address")
    return bytes.fromhex(text.strip().replace(":", ""))


@pytest.mark.parametrize("tags", [(100,), (0xE064,), (100, 7)], ids=str)
def test_a_frame_of_a_vlan_is_not_served_on_the_wire_that_carries_it(
    site: Site, tags: tuple[int, ...]
) -> None:
    with datagram_socket(site.wires.server, 5353) as server:
        send_tagged(site, b"from the VLAN", *tags)
        send_tagged(site, b"from the wire itself")
        assert server.recv(100) == b"from the wire itself"
    counted = site.dataplane.counters().services["names"]
    assert counted.destinations[SERVERS[0], 5353].packets_in == 1


def test_a_frame_that_is_tagged_for_its_priority_alone_is_served(site: Site) -> None:
    with (
        datagram_socket(site.wires.server, 5353) as server,
        datagram_socket(site.wires.client, 40_000) as client,
    ):
        client.settimeout(DEADLINE)
        send_tagged(site, b"urgent", 0xE000)
        question, sender = server.recvfrom(100)
        assert (question, sender) == (b"urgent", (str(CLIENT), 40_000))
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"
