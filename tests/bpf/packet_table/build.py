"""Frames that are more than a packet: ICMP errors, tunnels, tags. Nothing is shared with the product."""

import struct

from shoal.model import Address, Encapsulation
from support.extension_headers import transport_of
from support.packets import DESTINATION_MAC, ETHERNET, IPV4, IPV6, SOURCE_MAC, checksum

ETHERTYPES = {4: 0x0800, 6: 0x86DD}
ICMP = {4: 1, 6: 58}
QUOTE = 512  # bytes that an error quotes at most
NETWORK_CONTROL = 0xC0
DONT_FRAGMENT = 0x4000
IPIP, UDP, IPV6_IN_IP, GRE = 4, 17, 41, 47
GUE_PORT = 6080
OUTER_TTL = 64


def ip_packet(
    source: Address,
    destination: Address,
    protocol: int,
    content: bytes,
    *,
    ttl: int = 64,
    traffic_class: int = 0,
    flags: int = 0,
    flow: int = 0,
) -> bytes:
    """An IP packet of the addresses' family around any content; ``flags`` are those of IPv4 with its offset."""
    ends = source.packed + destination.packed
    if source.version == 6:
        first = 6 << 28 | traffic_class << 20 | flow
        return struct.pack("!IHBB", first, len(content), protocol, ttl) + ends + content
    header = struct.pack(
        "!BBHHHBBH", 0x45, traffic_class, IPV4.size + len(content), 0, flags, ttl, protocol, 0
    )
    header += ends
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + content


def framed(
    packet: bytes, *, destination_mac: bytes = DESTINATION_MAC, source_mac: bytes = SOURCE_MAC
) -> bytes:
    """An IP packet in a frame; the EtherType follows from the packet."""
    return ETHERNET.pack(destination_mac, source_mac, ETHERTYPES[packet[0] >> 4]) + packet


def icmp_error(
    source: Address,
    destination: Address,
    kind: int,
    code: int,
    rest: int,
    quote: bytes,
    *,
    ttl: int = 64,
    traffic_class: int = 0,
) -> bytes:
    """An ICMP or ICMPv6 error as an IP packet (RFC 792, RFC 4443)."""
    content = struct.pack("!BBHI", kind, code, 0, rest) + quote
    pseudo = b""
    if source.version == 6:
        pseudo = source.packed + destination.packed + struct.pack("!II", len(content), ICMP[6])
    found = checksum(pseudo + content)
    content = content[:2] + struct.pack("!H", found) + content[4:]
    number = ICMP[source.version]
    return ip_packet(source, destination, number, content, ttl=ttl, traffic_class=traffic_class)


def answer(frame: bytes, source: Address, to: Address, kind: int, code: int, rest: int) -> bytes:
    """The frame by which a router answers a frame whose packet cannot go on: the way it came, with a quote of it."""
    length = struct.unpack_from("!H", frame, 16 if source.version == 4 else 18)[0]
    whole = length if source.version == 4 else length + IPV6.size
    quote = frame[14 : 14 + min(whole, QUOTE)]
    precedence = NETWORK_CONTROL if source.version == 4 else 0
    error = icmp_error(source, to, kind, code, rest, quote, traffic_class=precedence)
    return framed(error, destination_mac=frame[6:12], source_mac=frame[:6])


def flow_hash(packet: bytes) -> int:
    """20 bits by which the flows of a tunnel differ outside: the folded addresses and ports, multiplied."""
    if packet[0] >> 4 == 4:
        ends, ports = packet[12:20], packet[20:24]
    else:
        _, behind = transport_of(packet)
        ends, ports = packet[8:40], packet[behind : behind + 4]
    folded = 0
    for word in struct.unpack(f"<{len(ends) // 4}I", ends):
        folded ^= word
    source, destination = struct.unpack("<HH", ports)
    mixed = (folded ^ (source << 16 | destination)) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return mixed >> 44


def tunnelled(
    kind: Encapsulation, source: Address, destination: Address, packet: bytes, *, traffic_class: int = 0
) -> bytes:
    """A packet inside another (RFC 2003, 2473, 2784, draft-ietf-intarea-gue)."""
    version = packet[0] >> 4
    inside = {4: IPIP, 6: IPV6_IN_IP}[version]
    flow = flow_hash(packet)
    if kind is Encapsulation.IPIP:
        protocol, content = inside, packet
    elif kind is Encapsulation.GRE:
        protocol, content = GRE, struct.pack("!HH", 0, ETHERTYPES[version]) + packet
    else:
        length = 8 + 4 + len(packet)
        header = struct.pack("!HHHHBBH", 0xC000 | flow & 0x3FFF, GUE_PORT, length, 0, 0, inside, 0)
        protocol, content = UDP, header + packet
    return ip_packet(
        source,
        destination,
        protocol,
        content,
        ttl=OUTER_TTL,
        traffic_class=traffic_class,
        flags=DONT_FRAGMENT,
        flow=flow,
    )


def tagged(frame: bytes, tag: int, *, ethertype: int = 0x8100) -> bytes:
    """The frame with an IEEE 802.1Q tag."""
    return frame[:12] + struct.pack("!HH", ethertype, tag) + frame[12:]
