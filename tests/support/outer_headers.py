"""What is around a packet that a router sends through a tunnel, read byte by byte."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from shoal.dataplane.packet import Outer, Packet
from shoal.model import Address, Encapsulation
from support.packets import checksum
from support.tunnels import encapsulate

IPIP, UDP, IPV6, GRE = 4, 17, 41, 47
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
FAMILIES = {number: family for family, number in ETHERTYPES.items()}
PROTOCOLS = {IPIP: 4, IPV6: 6}
EPHEMERAL = 0xC000
ROUTERS = {4: "192.0.2.1", 6: "2001:db8::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterHeader:
    """An outer IPv4 or IPv6 header: its fields, and the protocol and bytes behind it."""

    source: Address
    destination: Address
    traffic_class: int
    flow: int
    ttl: int
    dont_fragment: bool
    protocol: int
    content: bytes


def read_outer(frame: bytes) -> OuterHeader:
    """The header of the packet in a frame. Fails when its lengths or its checksum are wrong."""
    packet = frame[14:]
    if frame[12:14] == b"\x08\x00":
        first, tos, length, _, fragment, ttl, protocol, _, source, destination = struct.unpack_from(
            "!BBHHHBBH4s4s", packet
        )
        assert (first, length) == (0x45, len(packet))
        assert checksum(packet[:20]) == 0
        return OuterHeader(
            source=IPv4Address(source),
            destination=IPv4Address(destination),
            traffic_class=tos,
            flow=0,
            ttl=ttl,
            dont_fragment=fragment == 0x4000,
            protocol=protocol,
            content=packet[20:],
        )
    first, length, protocol, ttl, source, destination = struct.unpack_from("!IHBB16s16s", packet)
    assert (first >> 28, length) == (6, len(packet) - 40)
    return OuterHeader(
        source=IPv6Address(source),
        destination=IPv6Address(destination),
        traffic_class=first >> 20 & 0xFF,
        flow=first & 0xFFFFF,
        ttl=ttl,
        dont_fragment=True,
        protocol=protocol,
        content=packet[40:],
    )


def open_tunnel(frame: bytes) -> tuple[Outer | None, bytes]:
    """What a frame's packet travels in, and the frame without that; None, and the frame, when it travels by itself."""
    is_ipv6 = frame[12:14] == b"\x86\xdd"
    protocol = frame[20 if is_ipv6 else 23]
    l4 = 54 if is_ipv6 else 34
    is_gue = protocol == UDP and frame[l4 : l4 + 2] >= b"\xc0\x00" and frame[l4 + 6 : l4 + 8] == bytes(2)
    if protocol not in (IPIP, IPV6, GRE) and not is_gue:
        return None, frame
    header = read_outer(frame)
    kind, port, family, inside = _open(header)
    return (
        Outer(destination=header.destination, encap=kind, port=port),
        frame[:12] + ETHERTYPES[family].to_bytes(2, "big") + inside,
    )


def _open(header: OuterHeader) -> tuple[Encapsulation, int, int, bytes]:
    """Encapsulation, UDP port, family of the packet inside, and that packet."""
    content = header.content
    if header.protocol in PROTOCOLS:
        return Encapsulation.IPIP, 0, PROTOCOLS[header.protocol], content
    if header.protocol == GRE:
        flags, ethertype = struct.unpack_from("!HH", content)
        assert flags == 0
        return Encapsulation.GRE, 0, FAMILIES[ethertype], content[4:]
    source, port, length, check, first, protocol, flags = struct.unpack_from("!HHHHBBH", content)
    assert source >= EPHEMERAL
    assert (length, check, first, flags) == (len(content), 0, 0, 0)
    return Encapsulation.GUE, port, PROTOCOLS[protocol], content[12:]


def encode_outer(frame: bytes, packet: Packet) -> bytes:
    """The frame of a packet with what is around it, if anything is."""
    if packet.outer is None:
        return frame
    outer = packet.outer
    family = outer.destination.version
    wrapped = encapsulate(
        str(outer.encap), ROUTERS[family], str(outer.destination), frame[14:], port=outer.port
    )
    return frame[:12] + ETHERTYPES[family].to_bytes(2, "big") + wrapped
