"""Who has this address: ARP and neighbour discovery, with the lease in force and after its end."""

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from packet_table.net import IPV4
from packet_table.net import IPV6 as NET6
from packet_table.row import PASSED, Dropped, LeaseEnds, Outcome, Row, Step
from shoal.dataplane.base import Drop
from shoal.model import Address
from support.packets import DESTINATION_MAC, ETHERNET, IPV6, SOURCE_MAC, checksum

BROADCAST = b"\xff" * 6
REQUEST, REPLY = 1, 2
SOLICITATION, ADVERTISEMENT = 135, 136
GATEWAY = ip_address("10.0.1.1")
EXPIRED = Dropped(Drop.LEASE_EXPIRED)


def arp(operation: int, target: Address, *, to: bytes = BROADCAST, sender: Address = IPV4.client) -> bytes:
    """RFC 826, padded to the shortest Ethernet frame."""
    frame = ETHERNET.pack(to, SOURCE_MAC, 0x0806) + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return frame + SOURCE_MAC + sender.packed + bytes(6) + target.packed + bytes(18)


def neighbour(kind: int, target: Address, *, options: bytes = b"\x01\x01" + SOURCE_MAC) -> bytes:
    """RFC 4861 4.3 and 4.4, to the solicited-node multicast address."""
    group = ip_address("ff02::1:ff00:0").packed[:13] + target.packed[13:]
    content = struct.pack("!BBHI", kind, 0, 0, 0) + target.packed + options
    covered = NET6.client.packed + group + struct.pack("!I3xB", len(content), 58) + content
    content = content[:2] + struct.pack("!H", checksum(covered)) + content[4:]
    header = IPV6.pack(6 << 28, len(content), 58, 255, NET6.client.packed, group)
    return ETHERNET.pack(b"\x33\x33" + group[12:], SOURCE_MAC, 0x86DD) + header + content


def rows() -> Iterator[Row]:
    """Both families, for they differ in everything."""
    serving = (*IPV4.serving(), *NET6.serving())
    over = LeaseEnds((IPV4.vip, GATEWAY, NET6.vip))
    questions = {
        "ARP for the virtual address": (arp(REQUEST, IPV4.vip), EXPIRED),
        "ARP for the real servers' gateway address": (arp(REQUEST, GATEWAY), EXPIRED),
        "ARP for the virtual address by unicast": (arp(REQUEST, IPV4.vip, to=DESTINATION_MAC), EXPIRED),
        "an ARP probe for the virtual address": (
            arp(REQUEST, IPV4.vip, sender=ip_address("0.0.0.0")),
            EXPIRED,
        ),
        "ARP for the router's own address": (arp(REQUEST, IPV4.router), PASSED),
        "ARP for a real server": (arp(REQUEST, IPV4.real), PASSED),
        "an ARP reply about the virtual address": (arp(REPLY, IPV4.vip), PASSED),
        "an ARP reply to the router": (arp(REPLY, IPV4.router, to=DESTINATION_MAC), PASSED),
        "ARP of an unknown operation": (arp(9, IPV4.vip), PASSED),
        "ARP without its last byte": (arp(REQUEST, IPV4.vip)[:41], PASSED),
        "ARP of exactly 42 bytes": (arp(REQUEST, IPV4.vip)[:42], EXPIRED),
        "a solicitation for the virtual address": (neighbour(SOLICITATION, NET6.vip), EXPIRED),
        "a solicitation for the virtual address without options": (
            neighbour(SOLICITATION, NET6.vip, options=b""),
            EXPIRED,
        ),
        "a solicitation for the router's own address": (neighbour(SOLICITATION, NET6.router), PASSED),
        "a solicitation for a real server": (neighbour(SOLICITATION, NET6.real), PASSED),
        "an advertisement of the virtual address": (neighbour(ADVERTISEMENT, NET6.vip), PASSED),
        "a router solicitation": (neighbour(133, NET6.vip), PASSED),
        "a solicitation cut in its target": (neighbour(SOLICITATION, NET6.vip, options=b"")[:77], PASSED),
    }
    moments: dict[str, tuple[Step, ...]] = {"": serving, " after the lease": (*serving, over)}
    for name, (frame, then) in questions.items():
        for moment, before in moments.items():
            outcome: Outcome = then if moment else PASSED
            yield Row(name=name + moment, before=before, frame=frame, then=outcome)


ROWS = list(rows())
