"""Unsolicited neighbour advertisements: telling a network where an IPv6 address is now (RFC 4861 section 7.2.6)."""

import struct
from ipaddress import IPv6Address

ETHERTYPE = 0x86DD
ICMPV6 = 58  # next header (RFC 4443 section 1)
NEIGHBOUR_ADVERTISEMENT = 136
HOP_LIMIT = 255  # anything less is no neighbour (RFC 4861 section 7.1.2)
ALL_NODES = IPv6Address("ff02::1")

_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")
_PSEUDO_HEADER = struct.Struct("!16s16sI3xB")
_ADVERTISEMENT = struct.Struct("!BBHI16s")
_LINK_LAYER_OPTION = struct.Struct("!BB6s")
_VERSION = 6 << 28
_ROUTER, _OVERRIDE = 1 << 31, 1 << 29  # the solicited flag between them stays 0 (RFC 4861 section 4.4)
_TARGET_LINK_LAYER_ADDRESS = 2
_OPTION_UNITS = 1  # the option's length in units of 8 bytes


def announcement(address: IPv6Address, mac: bytes) -> bytes:
    """The frame that tells all nodes of a link to send packets for ``address`` to ``mac`` from now on.

    The override flag makes neighbours replace the MAC address they know. The router flag is set because the sender
    forwards: without it a host takes the sender off its list of default routers (RFC 4861 section 7.2.5).
    """
    option = _LINK_LAYER_OPTION.pack(_TARGET_LINK_LAYER_ADDRESS, _OPTION_UNITS, mac)
    flags = _ROUTER | _OVERRIDE
    unsummed = _ADVERTISEMENT.pack(NEIGHBOUR_ADVERTISEMENT, 0, 0, flags, address.packed) + option
    total = checksum(unsummed, source=address, destination=ALL_NODES)
    message = _ADVERTISEMENT.pack(NEIGHBOUR_ADVERTISEMENT, 0, total, flags, address.packed) + option
    header = _IPV6.pack(_VERSION, len(message), ICMPV6, HOP_LIMIT, address.packed, ALL_NODES.packed)
    return _ETHERNET.pack(multicast_mac(ALL_NODES), mac, ETHERTYPE) + header + message


def multicast_mac(group: IPv6Address) -> bytes:
    """The Ethernet address that a multicast group's packets are sent to (RFC 2464 section 7)."""
    return b"\x33\x33" + group.packed[-4:]


def checksum(message: bytes, *, source: IPv6Address, destination: IPv6Address) -> int:
    """The checksum of an ICMPv6 message whose own checksum field is 0 (RFC 4443 section 2.3)."""
    summed = _PSEUDO_HEADER.pack(source.packed, destination.packed, len(message), ICMPV6) + message
    summed += bytes(len(summed) % 2)
    words: tuple[int, ...] = struct.unpack(f"!{len(summed) // 2}H", summed)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
