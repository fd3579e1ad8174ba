"""Malformed packets: never a crash, never a rewrite of what is not ours, never a repair; longer only as an answer."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from support.packet_bench import ANSWER, HOLD, PASS, SEND, PacketBench
from support.packets import Damage, decode_packet

VIP = IPv4Address("192.0.2.10")
REAL = IPv4Address("10.0.1.21")
CLIENT = IPv4Address("198.51.100.7")
TCP = Packet(
    source=CLIENT,
    source_port=40_000,
    destination=VIP,
    destination_port=80,
    protocol=Protocol.TCP,
    flags=TcpFlags.SYN,
    payload=b"GET / HTTP/1.0\r\n\r\n",
)
UDP = replace(TCP, protocol=Protocol.UDP, destination_port=53, flags=TcpFlags.NONE)
ERROR_HEADERS = {4: 28, 6: 48}
REPLY = Packet(
    source=REAL,
    source_port=8080,
    destination=CLIENT,
    destination_port=40_000,
    protocol=Protocol.TCP,
    flags=TcpFlags.SYN | TcpFlags.ACK,
)


@pytest.fixture
def serving4(bench: PacketBench) -> PacketBench:
    """The same in IPv4 only."""
    return install(bench)


@pytest.fixture
def serving(bench: PacketBench, family: int) -> PacketBench:
    """The same in either family."""
    return install(bench)


def install(bench: PacketBench) -> PacketBench:
    """TCP port 80 to 8080, UDP port 53 to 5353, one real server."""
    for name, protocol, port, real_port in (("www", Protocol.TCP, 80, 8080), ("dns", Protocol.UDP, 53, 5353)):
        service = Service(
            name=name,
            listeners=(Listener(address=VIP, port=port, protocol=protocol),),
            scheduler="rr",
            method=ForwardingMethod.NAT,
            destinations=(Destination(address=REAL, port=real_port, weight=1),),
        )
        bench.put(service)
    return bench


@pytest.mark.parametrize("packet", [TCP, UDP], ids=["tcp", "udp"])
def test_every_truncation_is_left_to_the_host_untouched(serving: PacketBench, packet: Packet):
    whole = serving.frame(packet)
    for size in range(serving.shortest_frame, len(whole)):
        frame = whole[:size]
        assert serving.send(frame) == (PASS, frame, None), size
    assert list(serving.dataplane.connections(limit=10)) == []


@pytest.mark.parametrize(
    "damage",
    [
        Damage(version=5),
        Damage(total_length=1),
        Damage(total_length=1000),
        Damage(total_length=-36),
        Damage(data_offset=4),
        Damage(data_offset=15),
    ],
    ids=str,
)
def test_wrong_lengths_of_tcp_are_left_to_the_host_untouched(serving: PacketBench, damage: Damage):
    frame = serving.frame(TCP, damage=damage)
    assert serving.send(frame) == (PASS, frame, None)


@pytest.mark.parametrize("words", [0, 4, 15])
def test_wrong_header_lengths_are_left_to_the_host_untouched(serving4: PacketBench, words: int):
    frame = serving4.frame(TCP, damage=Damage(header_words=words))
    assert serving4.send(frame) == (PASS, frame, None)


@pytest.mark.parametrize(
    "damage", [Damage(udp_length=1), Damage(udp_length=-19), Damage(total_length=-19)], ids=str
)
def test_wrong_lengths_of_udp_are_left_to_the_host_untouched(serving: PacketBench, damage: Damage):
    frame = serving.frame(UDP, damage=damage)
    assert serving.send(frame) == (PASS, frame, None)


@pytest.mark.parametrize("packet", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("words", [1, 2, 10])
def test_ip_options_are_carried_along(serving4: PacketBench, packet: Packet, words: int):
    options = bytes([1]) * 4 * words
    verdict, frame, _ = serving4.send(serving4.frame(packet, damage=Damage(options=options)))
    assert verdict == SEND
    decoded = serving4.decoded(frame)
    assert decoded.options == options
    assert (decoded.ip_checksum_ok, decoded.l4_checksum_ok) == (True, True)
    assert decoded.packet == replace(
        packet, destination=REAL, destination_port=8080 if packet is TCP else 5353, ttl=63
    )


@pytest.mark.parametrize("packet", [TCP, UDP], ids=["tcp", "udp"])
def test_a_wrong_checksum_stays_wrong(serving: PacketBench, packet: Packet):
    verdict, frame, _ = serving.send(serving.frame(packet, damage=Damage(l4_checksum=0x0101)))
    decoded = serving.decoded(frame)
    assert (verdict, decoded.ip_checksum_ok, decoded.l4_checksum_ok) == (SEND, True, False)


def test_a_wrong_checksum_of_the_ip_header_stays_wrong(serving4: PacketBench):
    verdict, frame, _ = serving4.send(serving4.frame(TCP, damage=Damage(ip_checksum=0x0101)))
    decoded = serving4.decoded(frame)
    assert (verdict, decoded.ip_checksum_ok, decoded.l4_checksum_ok) == (SEND, False, True)


def test_udp_without_a_checksum_stays_without(serving: PacketBench):
    verdict, frame, _ = serving.send(serving.frame(UDP, damage=Damage(without_l4_checksum=True)))
    assert verdict == SEND
    assert serving.decoded(frame).has_l4_checksum is False


def test_a_padded_frame_keeps_its_padding(serving: PacketBench):
    short = replace(UDP, payload=b"")
    frame = serving.frame(short, damage=Damage(padding=bytes(18)))
    verdict, after, _ = serving.send(frame)
    assert verdict == SEND
    assert serving.decoded(after).padding == bytes(18)
    assert len(after) == len(frame)


@pytest.mark.parametrize("ethertype", [b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00", b"\x00\x00"])
def test_other_ethertypes_are_left_to_the_host(serving: PacketBench, ethertype: bytes):
    whole = serving.frame(TCP)
    if whole[12:14] == ethertype:
        ethertype = b"\x88\xcc"
    frame = whole[:12] + ethertype + whole[14:]
    assert serving.send(frame) == (PASS, frame, None)


def test_other_protocols_to_a_virtual_address_are_left_to_the_host(serving: PacketBench):
    for number in (0, 1, 2, 4, 41, 43, 47, 50, 58, 59, 60, 132, 255):
        whole = bytearray(serving.frame(TCP))
        whole[20 if serving.family == 6 else 23] = number
        assert serving.send(bytes(whole)) == (PASS, bytes(whole), None)


mutations = st.lists(st.tuples(st.integers(12, 91), st.integers(0, 255)), min_size=1, max_size=6)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=st.sampled_from([TCP, UDP, REPLY]), changes=mutations, cut=st.integers(0, 40))
def test_no_mutation_is_forwarded_wrongly(
    serving: PacketBench, base: Packet, changes: list[tuple[int, int]], cut: int
):
    """What is sent on is what was valid: decodable, one of our flows, as long as it was, its payload untouched."""
    frame = bytearray(serving.frame(base))
    for position, value in changes:
        if position < len(frame):
            frame[position] = value
    frame = frame[: max(serving.shortest_frame, len(frame) - cut)]
    verdict, after, reason = serving.send(bytes(frame))
    if verdict == ANSWER:  # about a TTL of 0 or 1: an ICMP error, which is longer by its headers
        quote = after[14 + ERROR_HEADERS[serving.family] :]
        assert quote
        assert bytes(frame[14:]).startswith(quote)
        return
    assert len(after) == len(frame)
    if verdict == SEND:
        before, sent = decode_packet(bytes(frame)), decode_packet(after)
        vip, real = serving.address(VIP), serving.address(REAL)
        assert sent.packet.payload == before.packet.payload
        assert sent.packet.ttl == before.packet.ttl - 1
        assert sent.ip_checksum_ok is before.ip_checksum_ok
        assert sent.l4_checksum_ok is before.l4_checksum_ok or not before.has_l4_checksum
        ours = (before.packet.destination, sent.packet.destination) == (vip, real)
        reply = (before.packet.source, sent.packet.source) == (real, vip)
        assert ours or reply
    elif verdict in (PASS, HOLD):
        assert after == bytes(frame)
    else:
        assert reason is not None
