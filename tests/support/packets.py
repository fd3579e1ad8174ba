"""Packets to Ethernet frames and back, right to the last checksum, and wrong where a test wants them wrong."""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from shoal.dataplane.packet import IcmpError, Packet, Quote, TcpFlags
from shoal.model import Protocol
from shoal.model.sctp_states import SctpChunk
from support.crc32c import crc32c

ETHERNET = struct.Struct("!6s6sH")
IPV4 = struct.Struct("!BBHHHBBH4s4s")
IPV6 = struct.Struct("!IHBB16s16s")
FRAGMENT = struct.Struct("!BxHI")
TCP = struct.Struct("!HHIIBBHHH")
MSS = struct.Struct("!BBH")
UDP = struct.Struct("!HHHH")
SCTP = struct.Struct("!HHIIBBH")
SCTP_TAG = 0x1234ABCD
SCTP_CRC = slice(8, 12)
ICMP_ECHO = struct.Struct("!BBHHH")

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
NUMBERS = {
    4: {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132, None: 1},
    6: {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132, None: 58},
}
PROTOCOLS = {
    version: {number: protocol for protocol, number in numbers.items()}
    for version, numbers in NUMBERS.items()
}
ECHO_REQUEST = {4: 8, 6: 128}
ERRORS = {
    4: {
        IcmpError.UNREACHABLE: (3, 3),
        IcmpError.TOO_BIG: (3, 4),
        IcmpError.TIME_EXCEEDED: (11, 0),
        IcmpError.PARAMETER_PROBLEM: (12, 0),
        IcmpError.REDIRECT: (5, 1),
    },
    6: {
        IcmpError.UNREACHABLE: (1, 4),
        IcmpError.TOO_BIG: (2, 0),
        IcmpError.TIME_EXCEEDED: (3, 0),
        IcmpError.PARAMETER_PROBLEM: (4, 0),
        IcmpError.REDIRECT: (137, 0),
    },
}
ERROR_NAMES = {
    version: {numbers: error for error, numbers in errors.items()} for version, errors in ERRORS.items()
}
IP_HEADER = {4: IPV4.size, 6: IPV6.size}
MORE_FRAGMENTS = 0x2000
MORE_FRAGMENTS_IPV6 = 1
FRAGMENT_HEADER = 44
SKIPPED_HEADERS = (0, 43, 60)  # extension headers of IPv6 (RFC 8200 4)

SOURCE_MAC = bytes.fromhex("020000000001")
DESTINATION_MAC = bytes.fromhex("020000000002")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What to do wrong. Lengths are added to the right ones; checksums are XORed; ``cut`` bytes go off the
    end.

    ``options`` are IPv4 options, a multiple of four bytes; they are not wrong as such. ``header_words`` and
    ``data_offset`` replace the length fields of the IPv4 and the TCP header (in 32-bit words), ``version`` that
    in the IP header. ``total_length`` is the payload length under IPv6.
    """

    options: bytes = b""
    version: int | None = None
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

    ``has_l4_checksum`` is False for UDP with a checksum field of 0 (RFC 768). ``options`` are IPv4's, or all IPv6
    extension headers but that of a fragment.
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
    if packet.source.version == 6:
        ethertype, header = ETHERTYPE_IPV6, _ipv6_header(packet, damage, len(l4))
    else:
        ethertype, header = ETHERTYPE_IPV4, _ipv4_header(packet, damage, len(l4))
    frame = ETHERNET.pack(destination_mac, source_mac, ethertype) + header + l4 + damage.padding
    return frame[: len(frame) - damage.cut]


def _ipv4_header(packet: Packet, damage: Damage, l4_length: int) -> bytes:
    words = 5 + len(damage.options) // 4
    shown_words = words if damage.header_words is None else damage.header_words
    fragment = packet.fragment_offset // 8 | (MORE_FRAGMENTS if packet.more_fragments else 0)
    header = bytearray(
        IPV4.pack(
            (4 if damage.version is None else damage.version) << 4 | shown_words,
            0,
            4 * words + l4_length + damage.total_length,
            packet.identification,
            fragment,
            packet.ttl,
            NUMBERS[4][packet.protocol],
            0,
            packet.source.packed,
            packet.destination.packed,
        )
        + damage.options
    )
    struct.pack_into("!H", header, 10, checksum(bytes(header)) ^ damage.ip_checksum)
    return bytes(header)


def _ipv6_header(packet: Packet, damage: Damage, l4_length: int) -> bytes:
    """The header, and behind it the fragment header of a fragment (RFC 8200 3 and 4.5)."""
    number, behind = NUMBERS[6][packet.protocol], b""
    if packet.more_fragments or packet.fragment_offset:
        place = packet.fragment_offset | (MORE_FRAGMENTS_IPV6 if packet.more_fragments else 0)
        number, behind = FRAGMENT_HEADER, FRAGMENT.pack(number, place, packet.identification)
    header = IPV6.pack(
        (6 if damage.version is None else damage.version) << 28 | 0xABCDE,
        len(behind) + l4_length + damage.total_length,
        number,
        packet.ttl,
        packet.source.packed,
        packet.destination.packed,
    )
    return header + behind


def _l4(packet: Packet, damage: Damage) -> bytes:
    if packet.fragment_offset:
        return packet.payload
    if packet.protocol is Protocol.TCP:
        options = MSS.pack(2, 4, packet.mss) if packet.mss else b""
        offset = 5 + len(options) // 4 if damage.data_offset is None else damage.data_offset
        ports = (packet.source_port, packet.destination_port)
        header = TCP.pack(*ports, 1000, 2000, offset << 4, packet.flags, 65535, 0, 0) + options
        return _with_checksum(packet, header, position=16, damage=damage)
    if packet.protocol is Protocol.UDP:
        length = UDP.size + len(packet.payload) + damage.udp_length
        header = UDP.pack(packet.source_port, packet.destination_port, length, 0)
        return _with_checksum(packet, header, position=6, damage=damage)
    if packet.protocol is Protocol.SCTP:
        return _sctp(packet, damage)
    version = packet.source.version
    if packet.quote is None:
        content = ICMP_ECHO.pack(ECHO_REQUEST[version], 0, 0, 1, 1) + packet.payload
    else:
        content = ICMP_ECHO.pack(*ERRORS[version][packet.quote.error], 0, 0, 1280) + _quoted(packet.quote)
    covered = _pseudo_header(packet, len(content)) if version == 6 else b""  # RFC 4443 2.3
    return content[:2] + struct.pack("!H", checksum(covered + content)) + content[4:]


def _sctp(packet: Packet, damage: Damage) -> bytes:
    """The common header and one chunk (RFC 9260 3); the CRC covers both, and is stored with its low byte first."""
    length = SCTP.size - 12 + len(packet.payload)
    ports = (packet.source_port, packet.destination_port)
    content = bytearray(SCTP.pack(*ports, SCTP_TAG, 0, packet.chunk, 0, length) + packet.payload)
    content[SCTP_CRC] = (crc32c(content) ^ damage.l4_checksum).to_bytes(4, "little")
    return bytes(content)


def _quoted(quote: Quote) -> bytes:
    whole = encode_packet(quote.packet)[ETHERNET.size :]
    return whole[: len(whole) - quote.cut]


def _unquoted(content: bytes, error: IcmpError) -> tuple[Quote, bool]:
    """What was quoted, and whether its checksums are right. What was cut off is taken for zeros."""
    version = content[0] >> 4
    begin, number = IP_HEADER[version], content[9 if version == 4 else 6]
    length = int.from_bytes(content[2:4] if version == 4 else content[4:6], "big")
    cut = length + (0 if version == 4 else begin) - len(content)
    whole = content
    if PROTOCOLS[version].get(number) is Protocol.TCP and len(content) < begin + TCP.size:
        whole += TCP.pack(0, 0, 1000, 2000, 5 << 4, 0, 65535, 0, 0)[len(content) - begin :]
    whole += bytes(len(content) + cut - len(whole))
    ethertype = ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6
    frame = decode_packet(ETHERNET.pack(bytes(6), bytes(6), ethertype) + whole)
    is_short = len(content) < begin + TCP.size and frame.packet.protocol is Protocol.TCP
    checksum_is_cut = is_short or (cut > 0 and frame.packet.protocol is Protocol.SCTP)
    is_right = frame.ip_checksum_ok and (frame.l4_checksum_ok or checksum_is_cut)
    return Quote(error=error, packet=frame.packet, cut=cut), is_right


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
    """RFC 9293 3.1 and RFC 8200 8.1."""
    version = packet.source.version
    number = NUMBERS[version][packet.protocol]
    numbers = struct.pack("!I3xB", length, number) if version == 6 else struct.pack("!BBH", 0, number, length)
    return packet.source.packed + packet.destination.packed + numbers


def decode_packet(frame: bytes) -> Frame:
    """The packet of an Ethernet frame. Raises ValueError when it is not a whole IPv4 or IPv6 packet."""
    try:
        return _decode(frame)
    except struct.error as error:
        raise ValueError(f"a truncated frame of {len(frame)} bytes") from error


def _decode(frame: bytes) -> Frame:
    destination_mac, source_mac, ethertype = ETHERNET.unpack_from(frame)
    content = frame[ETHERNET.size :]
    if ethertype == ETHERTYPE_IPV4:
        packet, header_length, length = _decode_ipv4(content)
        options, ip_checksum_ok = content[IPV4.size : header_length], checksum(content[:header_length]) == 0
    elif ethertype == ETHERTYPE_IPV6:
        packet, options, header_length, length = _decode_ipv6(content)
        ip_checksum_ok = True  # it has none
    else:
        raise ValueError(f"ethertype 0x{ethertype:04x}")
    whole, checked = _decode_l4(packet, content[header_length:length])
    return Frame(
        packet=whole,
        source_mac=source_mac,
        destination_mac=destination_mac,
        options=options,
        ip_checksum_ok=ip_checksum_ok,
        l4_checksum_ok=checked is not False,
        has_l4_checksum=checked is not None,
        padding=content[length:],
    )


def _decode_ipv4(content: bytes) -> tuple[Packet, int, int]:
    """The packet without what is behind its header; the lengths of the header and of the whole."""
    first, _, length, identification, fragment, ttl, number, _, source, destination = IPV4.unpack_from(
        content
    )
    header_length = 4 * (first & 0x0F)
    if first >> 4 != 4 or header_length < IPV4.size or not header_length <= length <= len(content):
        raise ValueError("wrong lengths in the IPv4 header")
    packet = Packet(
        source=IPv4Address(source),
        destination=IPv4Address(destination),
        protocol=PROTOCOLS[4][number],
        ttl=ttl,
        more_fragments=bool(fragment & MORE_FRAGMENTS),
        fragment_offset=8 * (fragment & 0x1FFF),
        identification=identification,
    )
    return packet, header_length, length


def _decode_ipv6(content: bytes) -> tuple[Packet, bytes, int, int]:
    """The same, and its extension headers but for that of a fragment; all of them count among the header's bytes."""
    first, payload, number, ttl, source, destination = IPV6.unpack_from(content)
    header_length, length, place, identification, options = IPV6.size, IPV6.size + payload, 0, 0, b""
    while number in (*SKIPPED_HEADERS, FRAGMENT_HEADER) and not place & ~7:
        following, words = struct.unpack_from("!BB", content, header_length)
        size = FRAGMENT.size if number == FRAGMENT_HEADER else 8 * (words + 1)
        if number == FRAGMENT_HEADER:
            _, place, identification = FRAGMENT.unpack_from(content, header_length)
        else:
            options += content[header_length : header_length + size]
        number, header_length = following, header_length + size
    if first >> 28 != 6 or not header_length <= length <= len(content):
        raise ValueError("wrong lengths in the IPv6 header")
    packet = Packet(
        source=IPv6Address(source),
        destination=IPv6Address(destination),
        protocol=PROTOCOLS[6][number],
        ttl=ttl,
        more_fragments=bool(place & MORE_FRAGMENTS_IPV6),
        fragment_offset=place & ~7,
        identification=identification,
    )
    return packet, options, header_length, length


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
            mss=_mss(l4[TCP.size : 4 * (offset >> 4)]),
        )
        return whole, checksum(_pseudo_header(packet, len(l4)) + l4) == 0
    if packet.protocol is Protocol.UDP:
        source, destination, _, found = UDP.unpack_from(l4)
        payload = l4[UDP.size :]
        whole = replace(packet, source_port=source, destination_port=destination, payload=payload)
        return whole, checksum(_pseudo_header(packet, len(l4)) + l4) == 0 if found else None
    if packet.protocol is Protocol.SCTP:
        source, destination, _, _, chunk, _, _ = SCTP.unpack_from(l4)
        whole = replace(
            packet,
            source_port=source,
            destination_port=destination,
            chunk=SctpChunk(chunk),
            payload=l4[SCTP.size :],
        )
        covered = l4[: SCTP_CRC.start] + bytes(4) + l4[SCTP_CRC.stop :]
        return whole, l4[SCTP_CRC] == crc32c(covered).to_bytes(4, "little")
    version = packet.source.version
    covered = _pseudo_header(packet, len(l4)) if version == 6 else b""
    if (error := ERROR_NAMES[version].get((l4[0], l4[1]))) is not None:
        quote, is_right = _unquoted(l4[ICMP_ECHO.size :], error)
        return replace(packet, quote=quote), is_right and checksum(covered + l4) == 0
    return replace(packet, payload=l4[ICMP_ECHO.size :]), checksum(covered + l4) == 0


def _mss(options: bytes) -> int:
    """What an option MSS that stands first announces; 0 without one."""
    return MSS.unpack_from(options)[2] if options[:2] == b"\x02\x04" else 0
