"""Packets: what their flags mean, how long they are, and that tests encode them right."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import Protocol
from shoal.model.tcp_states import TcpEvent
from support.packets import Damage, checksum, decode_packet, encode_packet

SYN, ACK, FIN, RST, PSH = TcpFlags.SYN, TcpFlags.ACK, TcpFlags.FIN, TcpFlags.RST, TcpFlags.PSH
PLAIN = Packet(source=IPv4Address("10.0.0.1"), destination=IPv4Address("10.0.0.2"))


def tcp(flags: TcpFlags = TcpFlags.NONE, **fields) -> Packet:
    return Packet(source=PLAIN.source, destination=PLAIN.destination, flags=flags, **fields)


@pytest.mark.parametrize(
    ("flags", "event", "opens"),
    [
        (SYN, TcpEvent.SYN, True),
        (SYN | PSH, TcpEvent.SYN, True),
        (SYN | ACK, TcpEvent.SYN, False),
        (SYN | FIN, TcpEvent.SYN, False),
        (SYN | RST, TcpEvent.RST, False),
        (FIN | ACK, TcpEvent.FIN, False),
        (ACK | PSH, TcpEvent.ACK, False),
        (PSH, None, False),
        (TcpFlags.NONE, None, False),
    ],
)
def test_flags_are_an_event_and_only_a_plain_syn_opens(flags, event, opens):
    assert (tcp(flags).event, tcp(flags).opens) == (event, opens)


def test_udp_always_opens_and_other_protocols_never():
    assert tcp(protocol=Protocol.UDP).opens
    assert not tcp(protocol=None).opens


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"payload": b"123"}, 43),
        ({"payload": b"123", "protocol": Protocol.UDP}, 31),
        ({"payload": b"123", "protocol": None}, 31),
        ({"payload": b"12345678", "fragment_offset": 8}, 28),
    ],
)
def test_the_length_is_that_of_the_ip_packet(fields, length):
    packet = tcp(**fields)
    assert packet.length == length
    assert len(encode_packet(packet)) == 14 + length


ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)
PORTS = st.integers(0, 65535)
WHOLE = st.builds(
    Packet,
    source=ADDRESSES,
    destination=ADDRESSES,
    protocol=st.sampled_from(Protocol),
    source_port=PORTS,
    destination_port=PORTS,
    ttl=st.integers(0, 255),
    payload=st.binary(max_size=64),
    more_fragments=st.booleans(),
)


@given(WHOLE)
def test_a_packet_survives_its_frame_with_right_checksums(packet):
    frame = decode_packet(encode_packet(packet))
    assert frame.packet == packet
    assert (frame.ip_checksum_ok, frame.l4_checksum_ok, frame.has_l4_checksum) == (True, True, True)


@given(st.integers(0, 31).map(TcpFlags))
def test_tcp_flags_survive_their_frame(flags):
    assert decode_packet(encode_packet(tcp(flags))).packet.flags == flags


def test_an_echo_request_survives_its_frame():
    frame = decode_packet(encode_packet(tcp(protocol=None, payload=b"ping")))
    assert (frame.packet.protocol, frame.packet.payload, frame.l4_checksum_ok) == (None, b"ping", True)


def test_the_checksum_is_that_of_rfc_1071():
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF  # its section 3
    header = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")
    assert checksum(header) == 0


def test_a_frame_is_what_another_stack_would_send():
    packet = Packet(
        source=IPv4Address("192.168.0.1"),
        destination=IPv4Address("192.168.0.199"),
        protocol=Protocol.UDP,
        source_port=53,
        destination_port=53,
        payload=b"\x01\x02",
        identification=0x1234,
    )
    assert encode_packet(packet).hex() == (
        "020000000002" + "020000000001" + "0800"
        # Both checksums were added up by hand: 0x197d and 0x83aa before they are complemented.
        + "4500001e" + "12340000" + "4011e682" + "c0a80001" + "c0a800c7"
        + "00350035" + "000a7c55" + "0102"
    )  # fmt: skip


@pytest.mark.parametrize("protocol", list(Protocol))
def test_wrong_checksums_are_wrong(protocol):
    packet = tcp(protocol=protocol, payload=b"x")
    wrong_ip = decode_packet(encode_packet(packet, damage=Damage(ip_checksum=0x0100)))
    assert (wrong_ip.ip_checksum_ok, wrong_ip.l4_checksum_ok) == (False, True)
    wrong_l4 = decode_packet(encode_packet(packet, damage=Damage(l4_checksum=0x0100)))
    assert (wrong_l4.ip_checksum_ok, wrong_l4.l4_checksum_ok) == (True, False)


def test_udp_may_have_no_checksum():
    frame = decode_packet(encode_packet(tcp(protocol=Protocol.UDP), damage=Damage(without_l4_checksum=True)))
    assert (frame.has_l4_checksum, frame.l4_checksum_ok) == (False, True)


def test_options_and_padding_are_carried():
    damage = Damage(options=b"\x01\x01\x01\x00", padding=b"\0" * 6)
    frame = decode_packet(encode_packet(tcp(SYN), damage=damage))
    assert (frame.packet, frame.options, frame.padding) == (tcp(SYN), b"\x01\x01\x01\x00", b"\0" * 6)
    assert (frame.ip_checksum_ok, frame.l4_checksum_ok) == (True, True)


@pytest.mark.parametrize(
    "damage",
    [
        Damage(cut=1),
        Damage(cut=40),
        Damage(version=6),
        Damage(header_words=4),
        Damage(header_words=15),
        Damage(total_length=1),
    ],
    ids=["one byte short", "without tcp", "version 6", "short header", "long header", "too long"],
)
def test_a_malformed_frame_is_not_decoded(damage):
    with pytest.raises(ValueError, match=r"truncated|wrong lengths"):
        decode_packet(encode_packet(tcp(SYN), damage=damage))


def test_lengths_of_the_inner_headers_can_be_wrong():
    frame = encode_packet(tcp(SYN), damage=Damage(data_offset=4))
    assert frame[14 + 20 + 12] >> 4 == 4
    frame = encode_packet(tcp(protocol=Protocol.UDP, payload=b"1234"), damage=Damage(udp_length=-8))
    assert frame[14 + 20 + 4 : 14 + 20 + 6] == (4).to_bytes(2, "big")
