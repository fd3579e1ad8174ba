"""A frame in a line of words, for people who read the packet table. Whatever is not understood is shown in hex."""

import struct
from ipaddress import IPv4Address, IPv6Address

from support.packets import ETHERNET, FRAGMENT, IPV4, IPV6, TCP, UDP, checksum

FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
FRAGMENT_HEADER = 44
EXTENSIONS = {0: "hop-by-hop options", 43: "routing header", 60: "destination options"}
ICMP = {
    4: {
        0: "echo reply",
        3: "unreachable",
        4: "source quench",
        5: "redirect",
        8: "echo request",
        11: "time exceeded",
    },
    6: {
        1: "unreachable",
        2: "packet too big",
        3: "time exceeded",
        4: "parameter problem",
        128: "echo request",
    },
}
ICMP_ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
ICMP[6] |= {129: "echo reply", 133: "router solicitation", 135: "solicitation", 136: "advertisement"}
ICMP[4] |= {12: "parameter problem"}


def frame_text(frame: bytes) -> str:
    """The frame from its EtherType on. MACs are left out: on the bench all ways lead to one neighbour."""
    _, _, ethertype = ETHERNET.unpack_from(frame)
    return _ethernet_text(ethertype, frame[ETHERNET.size :])


def _ethernet_text(ethertype: int, content: bytes) -> str:
    if ethertype in (0x8100, 0x88A8) and len(content) >= 4:
        tag, inner = struct.unpack_from("!HH", content)
        return f"VLAN {tag & 0xFFF}: {_ethernet_text(inner, content[4:])}"
    if ethertype == 0x0806:
        return _arp_text(content)
    if ethertype in (0x0800, 0x86DD):
        version = 4 if ethertype == 0x0800 else 6
        return packet_text(version, content)
    return f"EtherType 0x{ethertype:04x}, {len(content)} bytes"


def _arp_text(content: bytes) -> str:
    if len(content) < 28:
        return f"ARP, {len(content)} bytes"
    (operation,) = struct.unpack_from("!H", content, 6)
    target = IPv4Address(content[24:28])
    return {1: f"who has {target}?", 2: f"ARP reply to {target}"}.get(operation, f"ARP operation {operation}")


def packet_text(version: int, content: bytes, *, quoted: bool = False) -> str:
    """An IP packet; ``quoted`` in an ICMP error, where it may be cut."""
    try:
        return (_ipv4_text if version == 4 else _ipv6_text)(content, quoted)
    except struct.error:
        return f"IPv{version}, {len(content)} bytes: {content[:8].hex()}..."


def _ipv4_text(content: bytes, quoted: bool) -> str:
    first, _, length, _, place, ttl, protocol, _, source, destination = IPV4.unpack_from(content)
    header = 4 * (first & 0x0F)
    notes = [f"ttl {ttl}"]
    notes += [f"version {first >> 4}"] * (first >> 4 != 4)
    notes += [f"header of {header} bytes"] * (header != 20)
    notes += _length_notes(length, len(content), quoted)
    notes += ["header checksum wrong"] * (20 <= header <= len(content) and checksum(content[:header]) != 0)
    notes += _fragment_notes(8 * (place & 0x1FFF), bool(place & 0x2000))
    ends = (str(IPv4Address(source)), str(IPv4Address(destination)))
    return _with_transport(
        4, ends, protocol, content[max(header, 20) : max(length, 20)], notes, place & 0x1FFF
    )


def _ipv6_text(content: bytes, quoted: bool) -> str:
    first, length, protocol, hops, source, destination = IPV6.unpack_from(content)
    notes = [f"hops {hops}"]
    notes += [f"version {first >> 28}"] * (first >> 28 != 6)
    notes += _length_notes(length + 40, len(content), quoted)
    rest, later = content[40 : 40 + length], 0
    while protocol in EXTENSIONS or protocol == FRAGMENT_HEADER:
        if protocol == FRAGMENT_HEADER:
            protocol, place, _ = FRAGMENT.unpack_from(rest)
            later, size = place & ~7, 8
            notes += _fragment_notes(later, bool(place & 1)) or ["atomic fragment"]
        else:
            notes.append(EXTENSIONS[protocol])
            protocol, words = struct.unpack_from("!BB", rest)
            size = 8 * (words + 1)
        rest = rest[size:]
        if later:
            break
    ends = (str(IPv6Address(source)), str(IPv6Address(destination)))
    return _with_transport(6, ends, protocol, rest, notes, later)


def _length_notes(said: int, there: int, quoted: bool) -> list[str]:
    if said > there:
        return [] if quoted else [f"says {said} of {there} bytes"]
    return [f"{there - said} bytes behind"] * (said < there)


def _fragment_notes(offset: int, more: bool) -> list[str]:
    if not offset and not more:
        return []
    return [f"fragment at {offset}" + (", more follow" if more else ", the last")]


def _with_transport(
    version: int, ends: tuple[str, str], protocol: int, content: bytes, notes: list[str], later: int
) -> str:
    source, destination = ends
    kind, ports, size = f"protocol {protocol}", ("", ""), len(content)
    if not later and protocol == 6 and len(content) >= TCP.size:
        *both, _, _, offset, flags, _, _, _ = TCP.unpack_from(content)
        named = "-".join(name for bit, name in enumerate(FLAGS) if flags >> bit & 1) or "no flag"
        kind, ports, size = f"TCP {named}", (f":{both[0]}", f":{both[1]}"), len(content) - 4 * (offset >> 4)
        notes = notes + [f"TCP header of {4 * (offset >> 4)} bytes"] * (offset >> 4 != 5)
    elif not later and protocol in (17, 132) and len(content) >= UDP.size:
        *both, length, found = UDP.unpack_from(content)
        kind, ports, size = "UDP", (f":{both[0]}", f":{both[1]}"), len(content) - UDP.size
        if protocol == 132:
            kind, size = "SCTP", len(content)
        else:
            notes = notes + [f"UDP length {length}"] * (length != len(content))
            notes = notes + ["without checksum"] * (not found)
    elif not later and protocol in (1, 58) and len(content) >= 8:
        kind = _icmp_text(version, content)
    elif not later and protocol in (4, 41):
        kind = f"[{packet_text(4 if protocol == 4 else 6, content)}]"
    source, destination = (f"[{end}]" if version == 6 and ports[0] else end for end in ends)
    return f"{kind} {source}{ports[0]} → {destination}{ports[1]}, {size} bytes, " + ", ".join(notes)


def _icmp_text(version: int, content: bytes) -> str:
    kind, code = content[0], content[1]
    text = f"ICMP{'v6' if version == 6 else ''} {ICMP[version].get(kind, f'type {kind}')}"
    text += f" code {code}" if code else ""
    if kind in ICMP_ERRORS[version]:
        text += f" about [{packet_text(version, content[8:], quoted=True)}]"
    return text
