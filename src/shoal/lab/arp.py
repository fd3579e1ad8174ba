"""ARP frames as the lab's watchers see them. Pure; RFC 826 layout."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

ETHERTYPE = 0x0806
_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_HARDWARE_ETHERNET = 1
_PROTOCOL_IPV4 = 0x0800
_BROADCAST = b"\xff" * 6
REQUEST = 1
REPLY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpFrame:
    """What an ARP frame says. ``sender_mac`` is spelled with colons."""

    operation: int
    sender_mac: str
    sender: IPv4Address
    target: IPv4Address

    @property
    def gratuitous(self) -> bool:
        """Whether it announces the sender's own address (RFC 5227 section 1.1, "ARP Announcement")."""
        return self.sender == self.target


def decode(frame: bytes) -> ArpFrame | None:
    """Read a whole Ethernet frame; None when it is not ARP for IPv4 over Ethernet."""
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    if _ETHERNET.unpack_from(frame)[2] != ETHERTYPE:
        return None
    hardware, protocol, hardware_length, protocol_length, operation, mac, sender, _, target = (
        _ARP.unpack_from(frame, _ETHERNET.size)
    )
    if (hardware, protocol, hardware_length, protocol_length) != (_HARDWARE_ETHERNET, _PROTOCOL_IPV4, 6, 4):
        return None
    return ArpFrame(
        operation=operation,
        sender_mac=mac.hex(":"),
        sender=IPv4Address(sender),
        target=IPv4Address(target),
    )


def request(*, mac: bytes, sender: IPv4Address, target: IPv4Address) -> bytes:
    """A broadcast question: who has ``target``?"""
    return _ETHERNET.pack(_BROADCAST, mac, ETHERTYPE) + _ARP.pack(
        _HARDWARE_ETHERNET, _PROTOCOL_IPV4, 6, 4, REQUEST, mac, sender.packed, bytes(6), target.packed
    )
