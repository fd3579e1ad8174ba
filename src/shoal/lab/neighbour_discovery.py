"""Neighbour solicitations and advertisements as the lab's watchers see them. Pure; RFC 4861 section 4 layout."""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

from shoal.system.neighbour_discovery import (
    ETHERTYPE,
    HOP_LIMIT,
    ICMPV6,
    NEIGHBOUR_ADVERTISEMENT,
    checksum,
    multicast_mac,
)

_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")
_MESSAGE = struct.Struct("!BBHI16s")  # type, code, checksum, flags, target
_OPTION = struct.Struct("!BB")
_VERSION = 6 << 28
_NEIGHBOUR_SOLICITATION = 135
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = 1, 2
_SOLICITED, _OVERRIDE = 1 << 30, 1 << 29
_SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """What a neighbour advertisement says. ``mac``, spelled with colons, is where ``target`` is."""

    mac: str
    target: IPv6Address
    destination: IPv6Address
    solicited: bool
    override: bool


def decode(frame: bytes) -> Advertisement | None:
    """Read a whole Ethernet frame; None when it is not a neighbour advertisement of a neighbour."""
    at = _ETHERNET.size + _IPV6.size
    if len(frame) < at + _MESSAGE.size:
        return None
    _, sender, ethertype = _ETHERNET.unpack_from(frame)
    _, length, next_header, hop_limit, _, destination = _IPV6.unpack_from(frame, _ETHERNET.size)
    if (ethertype, next_header, hop_limit) != (ETHERTYPE, ICMPV6, HOP_LIMIT):
        return None
    kind, _, _, flags, target = _MESSAGE.unpack_from(frame, at)
    if kind != NEIGHBOUR_ADVERTISEMENT:
        return None
    options = frame[at + _MESSAGE.size : at + length]
    return Advertisement(
        mac=(_link_layer_address(options) or sender).hex(":"),
        target=IPv6Address(target),
        destination=IPv6Address(destination),
        solicited=bool(flags & _SOLICITED),
        override=bool(flags & _OVERRIDE),
    )


def solicitation(*, mac: bytes, sender: IPv6Address, target: IPv6Address) -> bytes:
    """A question to the target's solicited-node group: who has ``target``?"""
    group = IPv6Address(_SOLICITED_NODE | int(target) & 0xFFFFFF)
    option = _OPTION.pack(_SOURCE_LINK_LAYER, 1) + mac
    unsummed = _MESSAGE.pack(_NEIGHBOUR_SOLICITATION, 0, 0, 0, target.packed) + option
    total = checksum(unsummed, source=sender, destination=group)
    message = _MESSAGE.pack(_NEIGHBOUR_SOLICITATION, 0, total, 0, target.packed) + option
    header = _IPV6.pack(_VERSION, len(message), ICMPV6, HOP_LIMIT, sender.packed, group.packed)
    return _ETHERNET.pack(multicast_mac(group), mac, ETHERTYPE) + header + message


def _link_layer_address(options: bytes) -> bytes | None:
    """The target's link-layer address, if the option is there; option lengths count 8 bytes."""
    while len(options) >= 8:
        kind, units = _OPTION.unpack_from(options)
        if kind == _TARGET_LINK_LAYER and units == 1:
            return options[2:8]
        if units == 0:
            return None
        options = options[8 * units :]
    return None
