"""Forwarding method dr to the last byte: only the MACs, the TTL and the IP checksum change."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from support.packet_bench import NEIGHBOUR_MAC, SEND, PacketBench
from support.packets import INTACT, Damage

VIP = IPv4Address("192.0.2.10")
REAL = IPv4Address("10.0.1.21")
REQUEST = Packet(
    source=IPv4Address("198.51.100.7"),
    source_port=40_000,
    destination=VIP,
    destination_port=80,
    flags=TcpFlags.SYN,
    payload=b"as it came",
)
QUESTION = replace(REQUEST, protocol=Protocol.UDP, flags=TcpFlags.NONE)

WWW = Service(
    name="www",
    listeners=tuple(Listener(address=VIP, port=80, protocol=protocol) for protocol in Protocol),
    scheduler="rr",
    method=ForwardingMethod.DR,
    destinations=(Destination(address=REAL, port=80, weight=1),),
)


@pytest.fixture
def serving(bench: PacketBench, family: int) -> PacketBench:
    """TCP and UDP port 80 by dr."""
    bench.put(WWW)
    return bench


@pytest.mark.parametrize("packet", [REQUEST, QUESTION], ids=["tcp", "udp"])
@pytest.mark.parametrize(
    "damage",
    [
        INTACT,
        Damage(l4_checksum=0x0F0F),
        Damage(without_l4_checksum=True),
        Damage(padding=b"tail" * 5),
    ],
    ids=["intact", "wrong-checksum", "no-checksum", "padding"],
)
def test_only_macs_ttl_and_ip_checksum_change(serving: PacketBench, packet: Packet, damage: Damage):
    frame = serving.frame(packet, damage=damage)
    verdict, sent, _ = serving.send(frame)
    expected = serving.frame(
        replace(packet, ttl=packet.ttl - 1),
        damage=damage,
        source_mac=serving.interface.mac,
        destination_mac=bytes.fromhex(NEIGHBOUR_MAC.replace(":", "")),
    )
    assert verdict == SEND
    assert sent == expected


def test_options_are_carried_along(bench: PacketBench):
    bench.put(WWW)
    damage = Damage(options=b"\x01" * 8)
    verdict, sent, _ = bench.send(bench.frame(REQUEST, damage=damage))
    assert verdict == SEND
    assert sent[14:] == bench.frame(replace(REQUEST, ttl=REQUEST.ttl - 1), damage=damage)[14:]


@pytest.mark.parametrize("ttl", [2, 3, 64, 127, 128, 255])
@pytest.mark.parametrize("port", range(40_000, 40_008))
def test_the_ip_checksum_is_right_at_any_ttl(serving: PacketBench, ttl: int, port: int):
    packet = replace(QUESTION, ttl=ttl, source=REQUEST.source + port, source_port=port)
    _, sent, _ = serving.send(serving.frame(packet))
    assert sent[14:] == serving.frame(replace(packet, ttl=ttl - 1))[14:]
