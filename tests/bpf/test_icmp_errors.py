"""What a sender is told when its packet cannot go on: ICMP errors to the last byte."""

import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest

from shoal.dataplane.base import Destination, Drop, PutService, Service
from shoal.dataplane.ebpf.backend import find_interfaces
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from support.namespaces import inside, run
from support.outer_headers import OuterHeader, read_outer
from support.packet_bench import ANSWER, DROP, SEND, PacketBench
from support.packets import (
    DESTINATION_MAC,
    INTACT,
    SOURCE_MAC,
    Damage,
    checksum,
    encode_packet,
)

VIPS = {4: ip_address("192.0.2.10"), 6: ip_address("2001:db8::10")}
CLIENTS = {4: ip_address("198.51.100.7"), 6: ip_address("2001:db8:9::7")}
REALS = {4: ip_address("10.0.1.21"), 6: ip_address("2001:db8:1::21")}
OWN = {4: "192.168.255.1", 6: "2001:db8:255::1"}
FAMILIES = (4, 6)
ICMP = {4: 1, 6: 58}
TOO_BIG = {4: (3, 4), 6: (2, 0)}
TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}
QUOTE = 512
TUNNEL, NAT, DR = ForwardingMethod.TUNNEL, ForwardingMethod.NAT, ForwardingMethod.DR


def request(family: int, **fields: object) -> Packet:
    """A packet of the client's connection."""
    return replace(
        Packet(
            source=CLIENTS[family],
            source_port=40_000,
            destination=VIPS[family],
            destination_port=80,
            flags=TcpFlags.ACK,
        ),
        **fields,
    )


def connect(bench: PacketBench, family: int, method: ForwardingMethod) -> None:
    """Serve port 80 and open the client's connection."""
    service = Service(
        name="www",
        listeners=(Listener(address=VIPS[family], port=80, protocol=Protocol.TCP),),
        scheduler="rr",
        method=method,
        destinations=(Destination(address=REALS[family], port=80, weight=1),),
    )
    bench.dataplane.apply([PutService(service=service)])
    assert bench.send(encode_packet(request(family, flags=TcpFlags.SYN)))[0] == SEND


def told(bench: PacketBench, frame: bytes, reason: Drop) -> tuple[OuterHeader, tuple[int, int], int, bytes]:
    """The error that a frame is answered with: its IP header, its type and code, its second word, and the quote."""
    verdict, result, why = bench.send(frame)
    assert (verdict, why) == (ANSWER, reason)
    assert result[:12] == SOURCE_MAC + DESTINATION_MAC
    header = read_fragmentable(result) if result[12:14] == b"\x08\x00" else read_outer(result)
    family = header.source.version
    assert header.protocol == ICMP[family]
    pseudo = header.source.packed + header.destination.packed + struct.pack("!II", len(header.content), 58)
    assert checksum((pseudo if family == 6 else b"") + header.content) == 0
    kind, code, _, rest = struct.unpack_from("!BBHI", header.content)
    return header, (kind, code), rest, header.content[8:]


def read_fragmentable(frame: bytes) -> OuterHeader:
    """The IPv4 header of an error, which may be fragmented."""
    assert frame[20:22] == bytes(2)
    return read_outer(frame)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [NAT, DR, TUNNEL])
def test_a_client_is_told_what_fits(bench: PacketBench, family: int, method: ForwardingMethod):
    connect(bench, family, method)
    frame = encode_packet(request(family, payload=bytes(range(256)) * 6))
    header, kind, mtu, quote = told(bench, frame, Drop.PACKET_TOO_BIG)
    overhead = {4: 20, 6: 40}[family] if method is TUNNEL else 0
    assert (kind, mtu) == (TOO_BIG[family], 1500 - overhead)
    assert (header.destination, header.ttl) == (CLIENTS[family], 64)
    assert quote == frame[14 : 14 + QUOTE]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [NAT, DR, TUNNEL])
@pytest.mark.parametrize("payload", [b"", b"x", b"odd" * 7, bytes(1200)])
def test_a_packet_at_the_end_of_its_life_is_answered(
    bench: PacketBench, family: int, method: ForwardingMethod, payload: bytes
):
    connect(bench, family, method)
    frame = encode_packet(request(family, ttl=1, payload=payload))
    header, kind, rest, quote = told(bench, frame, Drop.TTL_EXCEEDED)
    assert (header.destination, kind, rest) == (CLIENTS[family], TIME_EXCEEDED[family], 0)
    assert quote == frame[14 : 14 + QUOTE]


def test_so_is_one_that_would_have_opened_a_connection(bench: PacketBench):
    connect(bench, 4, NAT)
    frame = encode_packet(request(4, flags=TcpFlags.SYN, source_port=40_001, ttl=1))
    assert told(bench, frame, Drop.TTL_EXCEEDED)[1] == TIME_EXCEEDED[4]


@pytest.mark.parametrize("damage", [Damage(options=b"\x01" * 40), Damage(padding=b"tail" * 20)])
def test_options_are_quoted_and_padding_is_not(bench: PacketBench, damage: Damage):
    connect(bench, 4, NAT)
    frame = encode_packet(request(4, ttl=1, payload=b"abc"), damage=damage)
    *_, quote = told(bench, frame, Drop.TTL_EXCEEDED)
    assert quote == frame[14 : len(frame) - len(damage.padding)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_real_server_is_told_about_its_reply(bench: PacketBench, family: int):
    connect(bench, family, NAT)
    reply = request(
        family,
        source=REALS[family],
        source_port=80,
        destination=CLIENTS[family],
        destination_port=40_000,
        payload=bytes(1500),
    )
    frame = encode_packet(reply)
    header, kind, mtu, quote = told(bench, frame, Drop.PACKET_TOO_BIG)
    assert (header.destination, kind, mtu) == (REALS[family], TOO_BIG[family], 1500)
    assert quote == frame[14 : 14 + QUOTE]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_comes_from_the_routers_own_address(bench: PacketBench, family: int):
    prefix = {4: 32, 6: 128}[family]
    own = {4: "192.0.2.1", 6: "2001:db8::1"}[family]
    connect(bench, family, NAT)
    frame = encode_packet(request(family, ttl=1))
    assert told(bench, frame, Drop.TTL_EXCEEDED)[0].source == VIPS[family]
    run(f"ip -n {bench.namespace} address add {own}/{prefix} dev lo")
    with inside(bench.namespace):
        (loopback,) = find_interfaces(["lo"])
    bench.dataplane._interfaces["lo"] = loopback.index
    try:
        bench.dataplane.sweep()
        assert str(told(bench, frame, Drop.TTL_EXCEEDED)[0].source) == own
    finally:
        run(f"ip -n {bench.namespace} address del {own}/{prefix} dev lo")
        bench.dataplane.sweep()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_packet_that_is_too_big_is_one_byte_longer_than_the_way(bench: PacketBench, family: int):
    connect(bench, family, DR)
    headers = {4: 40, 6: 60}[family]
    assert bench.send(encode_packet(request(family, payload=bytes(1500 - headers))))[0] == SEND
    assert (
        bench.send(encode_packet(request(family, payload=bytes(1501 - headers)), damage=INTACT))[0] == ANSWER
    )


def test_answers_are_few_however_many_packets_come(bench: PacketBench):
    connect(bench, 4, NAT)
    frame = encode_packet(request(4, ttl=1))
    verdicts = bench.send_many(frame, 20_000)
    assert verdicts[DROP] > verdicts[SEND] > 0
