"""Packets inside packets, byte by byte: what a router sends to a real server by method tunnel."""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from support.packets import checksum

ETHERNET = bytes.fromhex("000000000000020000000001")  # to lo, the interface of BPF_PROG_TEST_RUN
IPIP, UDP, IPV6, GRE = 4, 17, 41, 47
GUE_PORT = 6080


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    tos: int = 0,
    ttl: int = 64,
    fragment: int = 0x4000,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet with a right checksum."""
    words = 5 + len(options) // 4
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | words,
        tos,
        words * 4 + len(payload),
        7,
        fragment,
        ttl,
        protocol,
        0,
        IPv4Address(source).packed,
        IPv4Address(destination).packed,
    )
    header += options
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def ipv6(
    source: str, destination: str, protocol: int, payload: bytes, *, tos: int = 0, ttl: int = 64
) -> bytes:
    """An IPv6 packet; ``tos`` is its traffic class."""
    first = 6 << 28 | tos << 20
    addresses = IPv6Address(source).packed + IPv6Address(destination).packed
    return struct.pack("!IHBB", first, len(payload), protocol, ttl) + addresses + payload


def ip(source: str, destination: str, protocol: int, payload: bytes, *, tos: int = 0, ttl: int = 64) -> bytes:
    """A packet of the addresses' family."""
    build = ipv4 if ip_address(destination).version == 4 else ipv6
    return build(source, destination, protocol, payload, tos=tos, ttl=ttl)


def udp(source: int, destination: int, payload: bytes, *, check: int = 0) -> bytes:
    """A UDP datagram; without a checksum unless one is given."""
    return struct.pack("!HHHH", source, destination, 8 + len(payload), check) + payload


def udp_within(
    source: str, destination: str, ports: tuple[int, int], payload: bytes, *, tos: int = 0
) -> bytes:
    """A whole packet with a right UDP checksum."""
    ends = ip_address(source).packed + ip_address(destination).packed
    datagram = udp(*ports, payload)
    check = checksum(ends + struct.pack("!II", UDP, len(datagram)) + datagram) or 0xFFFF
    return ip(source, destination, UDP, udp(*ports, payload, check=check), tos=tos)


def encapsulate(
    kind: str, source: str, destination: str, inner: bytes, *, tos: int = 0, port: int = GUE_PORT
) -> bytes:
    """A packet around a packet; ``kind`` is ipip, gre, gue or gue1 (the variant without a header of its own)."""
    is_ipv6 = inner[0] >> 4 == 6
    if kind == "ipip":
        protocol, content = IPV6 if is_ipv6 else IPIP, inner
    elif kind == "gre":
        protocol, content = GRE, struct.pack("!HH", 0, 0x86DD if is_ipv6 else 0x0800) + inner
    else:
        header = struct.pack("!BBH", 0, IPV6 if is_ipv6 else IPIP, 0) if kind == "gue" else b""
        protocol, content = UDP, udp(49152, port, header + inner)
    return ip(source, destination, protocol, content, tos=tos)


def frame(packet: bytes) -> bytes:
    """An Ethernet frame; the EtherType follows from the packet."""
    return ETHERNET + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet
