"""Packets to Ethernet frames and back, right to the last checksum, and wrong where a test wants them wrong."""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import Protocol

ETHERNET = struct.Struct("!6s6sH")
IPV4 = struct.Struct("!BBHHHBBH4s4s")
TCP = struct.Struct("!HHIIBBHHH")
UDP = struct.Struct("!HHHH")
ICMP_ECHO = struct.Struct("!BBHHH")

ETHERTYPE_IPV4 = 0x0800
NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, None: 1}
PROTOCOLS = {number: protocol for protocol, number in NUMBERS.items()}
MORE_FRAGMENTS = 0x2000

SOURCE_MAC = bytes.fromhex("020000000001")
DESTINATION_MAC = bytes.fromhex("020000000002")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What to do wrong. Lengths are added to the right ones; checksums are XORed; ``cut`` bytes go off the
    end.

    ``options`` are IP options, a multiple of four bytes; they are not wrong as such. ``header_words`` and
    ``data_offset`` replace the length fields of the IP and the TCP header (in 32-bit words).
    """

    options: bytes = b""
    version: int = 4
    header_words: int | None = None
    data_offset: int | None = None
    total_length: int = 0
    udp_length: int = 0
    ip_checksum: int = 0
    l4_checksum: int = 0
    without_l4_checksum: bool = False
    cut: int = 0
    padding: bytes = b""


INTACT = Damage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A decoded frame: the packet and what a ``Packet`` does not carry. The flags say whether checksums are
    right.

    ``has_l4_checksum`` is False for UDP with a checksum field of 0 (RFC 768).
    """

    packet: Packet
    source_mac: bytes
    destination_mac: bytes
    options: bytes
    ip_checksum_ok: bool
    l4_checksum_ok: bool
    has_l4_checksum: bool
    padding: bytes


def checksum(content: bytes) -> int:
    """The Internet checksum of RFC 1071."""
    if len(content) % 2:
        content += b"\0"
    total = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def encode_packet(
    packet: Packet,
    *,
    damage: Damage = INTACT,
    source_mac: bytes = SOURCE_MAC,
    destination_mac: bytes = DESTINATION_MAC,
) -> bytes:
    """The Ethernet frame of a packet; a later fragment carries its payload without a TCP or UDP header."""
    l4 = _l4(packet, damage)
    words = 5 + len(damage.options) // 4
    shown_words = words if damage.header_words is None else damage.header_words
    fragment = packet.fragment_offset // 8 | (MORE_FRAGMENTS if packet.more_fragments else 0)
    length = 4 * words + len(l4) + damage.total_length
    header = bytearray(
        IPV4.pack(
            damage.version << 4 | shown_words,
            0,
            length,
            0x1234,
            fragment,
            packet.ttl,
            NUMBERS[packet.protocol],
            0,
            packet.source.packed,
            packet.destination.packed,
        )
        + damage.options
    )
    struct.pack_into("!H", header, 10, checksum(bytes(header)) ^ damage.ip_checksum)
    frame = ETHERNET.pack(destination_mac, source_mac, ETHERTYPE_IPV4) + bytes(header) + l4 + damage.padding
    return frame[: len(frame) - damage.cut]


def _l4(packet: Packet, damage: Damage) -> bytes:
    if packet.fragment_offset:
        return packet.payload
    if packet.protocol is Protocol.TCP:
        offset = 5 if damage.data_offset is None else damage.data_offset
        ports = (packet.source_port, packet.destination_port)
        header = TCP.pack(*ports, 1000, 2000, offset << 4, packet.flags, 65535, 0, 0)
        return _with_checksum(packet, header, position=16, damage=damage)
    if packet.protocol is Protocol.UDP:
        length = UDP.size + len(packet.payload) + damage.udp_length
        header = UDP.pack(packet.source_port, packet.destination_port, length, 0)
        return _with_checksum(packet, header, position=6, damage=damage)
    content = ICMP_ECHO.pack(8, 0, 0, 1, 1) + packet.payload
    return content[:2] + struct.pack("!H", checksum(content)) + content[4:]


def _with_checksum(packet: Packet, header: bytes, *, position: int, damage: Damage) -> bytes:
    if damage.without_l4_checksum:
        return header + packet.payload
    found = checksum(_pseudo_header(packet, len(header) + len(packet.payload)) + header + packet.payload)
    if packet.protocol is Protocol.UDP:
        found = found or 0xFFFF
    segment = bytearray(header + packet.payload)
    struct.pack_into("!H", segment, position, found ^ damage.l4_checksum)
    return bytes(segment)


def _pseudo_header(packet: Packet, length: int) -> bytes:
    numbers = struct.pack("!BBH", 0, NUMBERS[packet.protocol], length)
    return packet.source.packed + packet.destination.packed + numbers


def decode_packet(frame: bytes) -> Frame:
    """The packet of an Ethernet frame. Raises ValueError when it is not a whole IPv4 packet."""
    try:
        return _decode(frame)
    except struct.error as error:
        raise ValueError(f"a truncated frame of {len(frame)} bytes") from error


def _decode(frame: bytes) -> Frame:
    destination_mac, source_mac, ethertype = ETHERNET.unpack_from(frame)
    if ethertype != ETHERTYPE_IPV4:
        raise ValueError(f"ethertype 0x{ethertype:04x}")
    content = frame[ETHERNET.size :]
    first, _, length, _, fragment, ttl, number, _, source, destination = IPV4.unpack_from(content)
    header_length = 4 * (first & 0x0F)
    if first >> 4 != 4 or header_length < IPV4.size or not header_length <= length <= len(content):
        raise ValueError("wrong lengths in the IPv4 header")
    packet = Packet(
        source=IPv4Address(source),
        destination=IPv4Address(destination),
        protocol=PROTOCOLS[number],
        ttl=ttl,
        more_fragments=bool(fragment & MORE_FRAGMENTS),
        fragment_offset=8 * (fragment & 0x1FFF),
    )
    l4 = content[header_length:length]
    whole, checked = _decode_l4(packet, l4)
    return Frame(
        packet=whole,
        source_mac=source_mac,
        destination_mac=destination_mac,
        options=content[IPV4.size : header_length],
        ip_checksum_ok=checksum(content[:header_length]) == 0,
        l4_checksum_ok=checked is not False,
        has_l4_checksum=checked is not None,
        padding=content[length:],
    )


def _decode_l4(packet: Packet, l4: bytes) -> tuple[Packet, bool | None]:
    """The packet with ports, flags and payload; whether its checksum is right, None when it has none."""
    if packet.fragment_offset:
        return replace(packet, payload=l4), None
    if packet.protocol is Protocol.TCP:
        source, destination, _, _, offset, flags, _, _, _ = TCP.unpack_from(l4)
        whole = replace(
            packet,
            source_port=source,
            destination_port=destination,
            flags=TcpFlags(flags),
            payload=l4[4 * (offset >> 4) :],
        )
        return whole, checksum(_pseudo_header(packet, len(l4)) + l4) == 0
    if packet.protocol is Protocol.UDP:
        source, destination, _, found = UDP.unpack_from(l4)
        payload = l4[UDP.size :]
        whole = replace(packet, source_port=source, destination_port=destination, payload=payload)
        return whole, checksum(_pseudo_header(packet, len(l4)) + l4) == 0 if found else None
    return replace(packet, payload=l4[ICMP_ECHO.size :]), checksum(l4) == 0
