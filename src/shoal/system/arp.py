"""Gratuitous ARP: telling a network where an IPv4 address is now (RFC 5227 section 3, RFC 826)."""

import struct
from ipaddress import IPv4Address

ETHERTYPE = 0x0806

_BROADCAST = b"\xff" * 6
_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST = 1


def announcement(address: IPv4Address, mac: bytes) -> bytes:
    """The frame of an ARP announcement: a broadcast request whose sender and target are both ``address``."""
    arp = _ARP.pack(1, 0x0800, 6, 4, _REQUEST, mac, address.packed, bytes(6), address.packed)
    return _ETHERNET.pack(_BROADCAST, mac, ETHERTYPE) + arp
