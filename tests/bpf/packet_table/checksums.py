"""Checksums at the edges of one's complement, wrong ones, and none; every method and direction."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

from packet_table.net import ACK, DR, IPV4, NAT, SYN, UDP, Net, in_both
from packet_table.row import Row, arrives, older, patched, sent, sent_as
from shoal.dataplane.packet import Packet
from support.packets import Damage, checksum, encode_packet

IP_CHECKSUM = 24  # places in an IPv4 frame
IDENTIFICATION = 18
IP_EDGES = {
    (NAT, "comes"): (0x0000, 0x0001, 0x00FF, 0xFEFF, 0xFFFE),
    (NAT, "leaves"): (0x0000, 0x0001, 0x00FF, 0xFEFF, 0xFFFE),
    (DR, "comes"): (0x0000, 0x0001, 0x00FF, 0xFFFE),
    (DR, "leaves"): (0x0000, 0x0001, 0xFEFF, 0xFFFE),
}


def l4_place(packet: Packet) -> int:
    """Where the checksum of TCP or UDP stands."""
    return 14 + (20 if packet.source.version == 4 else 40) + (6 if packet.protocol is UDP else 16)


def with_l4_sum(packet: Packet, wanted: int, change: Callable[[Packet], Packet] = lambda p: p) -> Packet:
    """The packet with a payload of two bytes by which its checksum is this one (after a change of it)."""
    blank = replace(packet, payload=b"\0\0")
    (found,) = struct.unpack_from("!H", encode_packet(change(blank)), l4_place(packet))
    total = (found + (~wanted & 0xFFFF)) % 0xFFFF
    return replace(packet, payload=struct.pack("!H", total))


def edges(net: Net) -> Iterator[Row]:
    """0x0000, 0x0001, 0xfffe and 0xffff before and after."""
    opened = (*net.serving(), *arrives(net.request(SYN), net.question()))
    ways: dict[str, tuple[Packet, Callable[[Packet], Packet]]] = {
        "a segment": (net.request(ACK), net.inside),
        "a reply": (net.reply(ACK), net.outside),
        "a datagram": (net.question(), net.inside),
        "an answer": (net.answer(), net.outside),
    }
    for what, (packet, forwarded) in ways.items():
        for wanted in (0x0000, 0x0001, 0xFFFE):
            shown = wanted or (0xFFFF if packet.protocol is UDP else 0)
            before = with_l4_sum(packet, wanted)
            assert struct.unpack_from("!H", encode_packet(before), l4_place(before)) == (shown,)
            yield Row(
                name=f"{what} that comes with checksum 0x{shown:04x}",
                before=opened,
                frame=encode_packet(before),
                then=sent(forwarded(before)),
            )
            after = with_l4_sum(packet, wanted, forwarded)
            assert struct.unpack_from("!H", encode_packet(forwarded(after)), l4_place(after)) == (shown,)
            yield Row(
                name=f"{what} that leaves with checksum 0x{shown:04x}",
                before=opened,
                frame=encode_packet(after),
                then=sent(forwarded(after)),
            )


def without(net: Net) -> Iterator[Row]:
    """UDP without a checksum stays so; what was wrong stays wrong by as much."""
    opened = (*net.serving(), *arrives(net.request(SYN), net.question()))
    none = Damage(without_l4_checksum=True)
    for what, packet, forwarded in (
        ("a datagram", net.question(), net.inside),
        ("an answer", net.answer(), net.outside),
    ):
        yield Row(
            name=f"{what} without a checksum by nat",
            before=opened,
            frame=encode_packet(packet, damage=none),
            then=sent(forwarded(packet), none),
        )
    yield Row(
        name="a datagram without a checksum by dr",
        before=net.serving(DR),
        frame=encode_packet(net.question(), damage=none),
        then=sent(older(net.question()), none),
    )


def wrong(net: Net) -> Iterator[Row]:
    """A wrong checksum is off by as much when it leaves: an update never repairs (RFC 1624)."""
    opened = (*net.serving(), *arrives(net.request(SYN), net.question()))
    for what, packet, forwarded in (
        ("a segment", net.request(ACK, payload=b"wrong"), net.inside),
        ("a reply", net.reply(ACK, payload=b"wrong"), net.outside),
        ("a datagram", net.question(), net.inside),
        ("an answer", net.answer(), net.outside),
    ):
        for error in (1, 0x0101, 0x8000):
            frame, right = _off_by(encode_packet(packet), l4_place(packet), error), sent(forwarded(packet))
            yield Row(
                name=f"{what} whose checksum is wrong by 0x{error:04x}",
                before=opened,
                frame=frame,
                then=sent_as(_off_by(right.frame, l4_place(packet), error)),
            )


def _off_by(frame: bytes, place: int, error: int) -> bytes:
    (right,) = struct.unpack_from("!H", frame, place)
    return patched(frame, place, struct.pack("!H", (right + error - 1) % 0xFFFF + 1))


def ip_headers() -> Iterator[Row]:
    """The IPv4 header's own, which takes in TTL and address."""
    for method, forwarded in ((NAT, IPV4.inside), (DR, older)):
        packet = IPV4.request(SYN)
        for moment in ("comes", "leaves"):
            for wanted in IP_EDGES[method, moment]:
                through = forwarded if moment == "leaves" else _unchanged
                number = _identification(through(packet), wanted)
                yield Row(
                    name=f"a packet that {moment} with header checksum 0x{wanted:04x} by {method}",
                    before=IPV4.serving(method),
                    frame=_numbered(encode_packet(packet), number),
                    then=sent_as(_numbered(sent(forwarded(packet)).frame, number)),
                )
        for error in (1, 0x0101, 0x8000):
            right = sent(forwarded(packet)).frame
            yield Row(
                name=f"a packet whose header checksum is wrong by 0x{error:04x} by {method}",
                before=IPV4.serving(method),
                frame=_off_by(encode_packet(packet), IP_CHECKSUM, error),
                then=sent_as(_off_by(right, IP_CHECKSUM, error)),
            )


def _unchanged(packet: Packet) -> Packet:
    return packet


def _identification(packet: Packet, wanted: int) -> int:
    """The identification by which the header's checksum is this one."""
    (found,) = struct.unpack_from("!H", _numbered(encode_packet(packet), 0), IP_CHECKSUM)
    return (found + (~wanted & 0xFFFF)) % 0xFFFF


def _numbered(frame: bytes, number: int) -> bytes:
    """The frame with another identification and a right header checksum."""
    blank = patched(patched(frame, IDENTIFICATION, struct.pack("!H", number)), IP_CHECKSUM, b"\0\0")
    return patched(blank, IP_CHECKSUM, struct.pack("!H", checksum(blank[14:34])))


ROWS = [*in_both(edges), *in_both(without), *in_both(wrong), *ip_headers()]
