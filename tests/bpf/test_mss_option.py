"""Lowering the option MSS wherever it stands, with a right checksum, and nothing else."""

import struct
from ipaddress import ip_address

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from support.packet_bench import SEND, PacketBench
from support.packets import TCP, checksum, encode_packet

VIPS = {4: ip_address("192.0.2.10"), 6: ip_address("2001:db8::10")}
CLIENTS = {4: ip_address("198.51.100.7"), 6: ip_address("2001:db8:9::7")}
REALS = {4: ip_address("10.0.1.21"), 6: ip_address("2001:db8:1::21")}
FAMILIES = (4, 6)
L4 = {4: 34, 6: 54}
MSS_9000 = bytes.fromhex("02042328")
TIMES = bytes.fromhex("080a1111111122222222")
NAT, TUNNEL = ForwardingMethod.NAT, ForwardingMethod.TUNNEL


def serve(bench: PacketBench, family: int, *, clamp: bool | int, method: ForwardingMethod = NAT) -> None:
    """Port 80 over one real server."""
    service = Service(
        name="www",
        listeners=(Listener(address=VIPS[family], port=80, protocol=Protocol.TCP),),
        scheduler="rr",
        method=method,
        destinations=(Destination(address=REALS[family], port=80, weight=1),),
        mss_clamp=clamp,
    )
    bench.dataplane.apply([PutService(service=service)])


def syn(family: int, options: bytes, *, flags: TcpFlags = TcpFlags.SYN) -> bytes:
    """A SYN with these options, filled up with zeros, and with eight bytes of content."""
    packet = Packet(
        source=CLIENTS[family],
        source_port=40_000,
        destination=VIPS[family],
        destination_port=80,
        flags=flags,
        payload=options + bytes(-len(options) % 4) + b"\x02\x04\x23\x28 yes",
    )
    frame = bytearray(encode_packet(packet))
    frame[L4[family] + 12] = (5 + -(-len(options) // 4)) << 4
    return with_checksum(frame, family)


def with_checksum(frame: bytearray, family: int) -> bytes:
    """The frame with a right TCP checksum."""
    begin = L4[family]
    frame[begin + 16 : begin + 18] = bytes(2)
    struct.pack_into("!H", frame, begin + 16, l4_checksum(bytes(frame), family))
    return bytes(frame)


def l4_checksum(frame: bytes, family: int) -> int:
    """The checksum over the pseudo header and all of TCP; 0 when there is a right one in it."""
    begin = L4[family]
    ends = frame[26:34] if family == 4 else frame[22:54]
    return checksum(ends + struct.pack("!II", len(frame) - begin, 6) + frame[begin:])


def options_of(frame: bytes, family: int) -> bytes:
    """The TCP options of a frame, whose checksum must be right."""
    assert l4_checksum(frame, family) == 0
    begin = L4[family]
    end = begin + 4 * (frame[begin + 12] >> 4)
    assert frame[end:] == b"\x02\x04\x23\x28 yes"
    return frame[begin + TCP.size : end]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\x01",
        b"\x01\x01",
        b"\x01\x01\x01",
        TIMES,
        b"\x01" + TIMES,
        b"\x01" * 36,
        b"\x04\x02",
        b"\x03\x03\x07",
    ],
)
def test_the_option_is_found_wherever_it_stands(bench: PacketBench, family: int, before: bytes):
    serve(bench, family, clamp=1360)
    verdict, sent, _ = bench.send(syn(family, before + MSS_9000))
    assert verdict == SEND
    expected = before + bytes.fromhex("0204") + (1360).to_bytes(2, "big")
    assert options_of(sent, family) == expected + bytes(-len(expected) % 4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "options",
    [
        b"",
        b"\x00" + MSS_9000,
        b"\x03\x00" + MSS_9000,
        b"\x03\x01" + MSS_9000,
        b"\x05\xff" + MSS_9000,
        b"\x02\x03\x23\x28",
        b"\x02\x06\x23\x28\x00\x00",
        b"\x01\x01\x01\x02",
        b"\x01" * 40,
        bytes.fromhex("02040200"),
    ],
    ids=bytes.hex,
)
def test_what_is_not_a_larger_option_of_its_own_is_left_alone(
    bench: PacketBench, family: int, options: bytes
):
    serve(bench, family, clamp=1360)
    verdict, sent, _ = bench.send(syn(family, options))
    assert verdict == SEND
    assert options_of(sent, family) == options + bytes(-len(options) % 4)


@pytest.mark.parametrize(("family", "fits"), [(4, 1460), (6, 1440)])
def test_what_fits_is_what_the_way_carries_without_headers(bench: PacketBench, family: int, fits: int):
    serve(bench, family, clamp=True)
    _, sent, _ = bench.send(syn(family, MSS_9000))
    assert options_of(sent, family) == bytes.fromhex("0204") + fits.to_bytes(2, "big")


@pytest.mark.parametrize(("family", "fits"), [(4, 1440), (6, 1400)])
def test_inside_a_tunnel_it_is_less_by_the_outer_header(bench: PacketBench, family: int, fits: int):
    serve(bench, family, clamp=True, method=TUNNEL)
    _, sent, _ = bench.send(syn(family, MSS_9000))
    inside = sent[:14] + sent[14 + {4: 20, 6: 40}[family] :]
    assert options_of(inside, family) == bytes.fromhex("0204") + fits.to_bytes(2, "big")


def test_a_reset_and_a_plain_segment_are_not_looked_at(bench: PacketBench):
    serve(bench, 4, clamp=1360)
    bench.send(syn(4, MSS_9000))
    for flags in (TcpFlags.ACK, TcpFlags.SYN | TcpFlags.RST, TcpFlags.FIN | TcpFlags.ACK):
        _, sent, _ = bench.send(syn(4, MSS_9000, flags=flags))
        assert options_of(sent, 4) == MSS_9000


def test_the_clamp_follows_the_configuration(bench: PacketBench):
    for clamp, left in ((1360, 1360), (1200, 1200), (False, 9000)):
        serve(bench, 4, clamp=clamp)
        _, sent, _ = bench.send(replace_port(syn(4, MSS_9000), 41_000 + left))
        assert int.from_bytes(options_of(sent, 4)[2:], "big") == left


def replace_port(frame: bytes, port: int) -> bytes:
    """The same from another port."""
    changed = bytearray(frame)
    struct.pack_into("!H", changed, L4[4], port)
    return with_checksum(changed, 4)
