"""IPv6 extension headers: packets go the same way with them as without, and the headers go along untouched."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

from packet_table import sctp
from packet_table.build import framed, tunnelled
from packet_table.net import ACK, DR, IPV4, IPV6, NAT, PSH, SYN, Net
from packet_table.row import HELD, PASSED, Arrives, Dropped, Row, Sent, Step, older, patched, sent, sent_as
from packet_table.tunnels import too_big, tunnel
from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Packet
from shoal.model import Encapsulation
from shoal.model.sctp_states import SctpChunk as C
from support.extension_headers import (
    AUTHENTICATION,
    ESP,
    MOBILITY,
    NO_NEXT,
    Extension,
    extended,
    fragment,
    fragments,
    hop_by_hop,
    options,
    routing,
)
from support.packets import encode_packet

SIZE = 64
NUMBER = 7
MTU = 1500
FIRST = 14 + 40  # where the first extension header of a frame begins
CHAINS: dict[str, tuple[Extension, ...]] = {
    "hop-by-hop options": (hop_by_hop(),),
    "destination options": (options(),),
    "a routing header with no segments left": (routing(),),
    "all three in a row": (hop_by_hop(16), options(24), routing(addresses=2), options()),
    "eight headers": (hop_by_hop(), *[options()] * 7),
    "256 bytes of headers": (hop_by_hop(128), options(128)),
    "one header of 256 bytes": (options(256),),
}
ENDS = {
    "the authentication header": Extension(AUTHENTICATION, bytes([4]) + bytes(22)),
    "ESP": Extension(ESP, bytes(15)),
    "no next header": Extension(NO_NEXT, bytes(7)),
    "the mobility header": Extension(MOBILITY, bytes([0]) + bytes(6)),
    "an unknown header": Extension(253, bytes([0]) + bytes(6)),
}


def comes(*frames: bytes) -> tuple[Arrives, ...]:
    """Frames that came before."""
    return tuple(Arrives(each) for each in frames)


def opened(*packets: Packet, method: object = NAT) -> tuple[Step, ...]:
    """With the connections of packets that had no extension headers."""
    return (*IPV6.serving(method), *comes(*map(encode_packet, packets)))  # type: ignore[arg-type]


def with_headers(then: Sent, chain: Sequence[Extension]) -> Sent:
    """What leaves, with the headers that came."""
    return sent_as(extended(then.frame, *chain))


def wrapped(frame: bytes, outer: Net, kind: Encapsulation) -> Sent:
    """A frame's packet in a tunnel; it is one hop older inside."""
    inside = patched(frame, 21, bytes([frame[21] - 1]))[14:]
    return sent_as(framed(tunnelled(kind, outer.router, outer.real, inside)))


def both_ways() -> Iterator[Row]:
    """Every kind of packet by nat and dr, behind every chain."""
    syn, question = IPV6.request(SYN), IPV6.question()
    segment, reply = IPV6.request(PSH | ACK, payload=b"odd"), IPV6.reply(PSH | ACK, payload=b"odd")
    ways: dict[str, tuple[tuple[Step, ...], Packet, Sent, str]] = {
        "a SYN by nat": (opened(), syn, sent(IPV6.inside(syn)), "syn_recv"),
        "a segment by nat": (opened(syn), segment, sent(IPV6.inside(segment)), "established"),
        "a reply by nat": (opened(syn), reply, sent(IPV6.outside(reply)), "established"),
        "a datagram by nat": (opened(), question, sent(IPV6.inside(question)), "udp"),
        "an answer by nat": (opened(question), IPV6.answer(), sent(IPV6.outside(IPV6.answer())), "udp"),
        "a SYN by dr": (opened(method=DR), syn, sent(older(syn)), "syn_recv"),
        "a segment by dr": (opened(syn, method=DR), segment, sent(older(segment)), "established"),
        "a datagram by dr": (opened(method=DR), question, sent(older(question)), "udp"),
    }
    for name, chain in CHAINS.items():
        for what, (before, packet, then, state) in ways.items():
            yield Row(
                name=f"{what} behind {name}",
                before=before,
                frame=extended(encode_packet(packet), *chain),
                then=with_headers(then, chain),
                state=state,
            )


def associations() -> Iterator[Row]:
    """SCTP. Whether its CRC is finished XDP cannot see, and leaves it to TC."""
    asked, data = sctp.request(IPV6, C.INIT), sctp.request(IPV6, C.DATA, payload=b"content")
    answer = sctp.reply(IPV6, C.DATA, payload=b"content")
    ways: dict[str, tuple[tuple[Step, ...], Packet, Packet, str]] = {
        "INIT": (sctp.serving(IPV6), asked, sctp.inside(IPV6, asked), "init1"),
        "DATA": (sctp.established(IPV6), data, sctp.inside(IPV6, data), "established"),
        "a real server's DATA": (sctp.established(IPV6), answer, sctp.outside(IPV6, answer), "established"),
        "DATA by dr": (sctp.established(IPV6, DR), data, older(data), "established"),
    }
    for name in ("hop-by-hop options", "256 bytes of headers"):
        for what, (before, packet, then, state) in ways.items():
            yield Row(
                name=f"SCTP {what} behind {name}",
                before=before,
                frame=extended(encode_packet(packet), *CHAINS[name]),
                then=with_headers(sent(then), CHAINS[name]),
                state=f"sctp_{state}",
                on_xdp=PASSED,
            )


def tunnels() -> Iterator[Row]:
    """Into every kind of tunnel."""
    for kind in Encapsulation:
        for outer in (IPV4, IPV6):
            for name in ("hop-by-hop options", "all three in a row", "256 bytes of headers"):
                for packet, state in ((IPV6.request(SYN), "syn_recv"), (IPV6.question(), "udp")):
                    frame = extended(encode_packet(packet), *CHAINS[name])
                    yield Row(
                        name=f"a packet ({state}) behind {name} into {kind} in IPv{outer.version}",
                        before=tunnel(IPV6, outer, kind),
                        frame=frame,
                        then=wrapped(frame, outer, kind),
                        state=state,
                    )


def whole(packet: Packet) -> bytes:
    """A datagram that comes in three fragments, whatever headers it has."""
    return encode_packet(replace(packet, payload=bytes(range(3 * SIZE - 40))))


PLACES: dict[str, tuple[tuple[Extension, ...], tuple[Extension, ...]]] = {
    "behind hop-by-hop options": ((hop_by_hop(),), ()),
    "in front of destination options": ((), (options(16),)),
    "amid headers": ((hop_by_hop(), routing()), (options(), options(16))),
}


def cut(packet: Packet, place: str) -> list[bytes]:
    """The fragments of a datagram with extension headers at a place."""
    in_front, behind = PLACES[place]
    return fragments(whole(packet), SIZE, number=NUMBER, in_front=in_front, behind=behind)


def in_order() -> Iterator[Row]:
    """Headers in front of the fragment header, behind it, and both."""
    question, answer = IPV6.question(), IPV6.answer()
    ways: dict[str, tuple[tuple[Step, ...], Packet, Packet]] = {
        "a datagram by nat": (opened(), question, IPV6.inside(question)),
        "an answer by nat": (opened(question), answer, IPV6.outside(answer)),
        "a datagram by dr": (opened(method=DR), question, older(question)),
    }
    for place in PLACES:
        for what, (before, comes_as, leaves_as) in ways.items():
            came, left = cut(comes_as, place), cut(leaves_as, place)
            for number, which in enumerate(("the first", "a middle", "the last")):
                yield Row(
                    name=f"{which} fragment of {what} {place}",
                    before=(*before, *comes(*came[:number])),
                    frame=came[number],
                    then=sent_as(left[number]),
                    state="udp",
                )


def out_of_order() -> Iterator[Row]:
    """A fragment that overtakes its first waits, whatever is in front of it; XDP leaves that to TC."""
    for place in PLACES:
        first, middle, _ = cut(IPV6.question(), place)
        yield Row(
            name=f"a later fragment before its first {place}",
            before=opened(),
            frame=middle,
            then=HELD,
            on_xdp=PASSED,
        )
        yield Row(
            name=f"the first fragment when another waits {place}",
            before=(*opened(), *comes(middle)),
            frame=first,
            then=sent_as(cut(IPV6.inside(IPV6.question()), place)[0]),
            state="udp",
        )
        yield Row(
            name=f"the first fragment into a tunnel {place}",
            before=tunnel(IPV6, IPV6, Encapsulation.IPIP),
            frame=first,
            then=wrapped(first, IPV6, Encapsulation.IPIP),
            state="udp",
        )


def whole_fragments() -> Iterator[Row]:
    """A fragment that is the whole packet (RFC 6946) is a packet like any other."""
    for name, chain in {
        "behind options": (hop_by_hop(), fragment(0, NUMBER)),
        "in front of options": (fragment(0, NUMBER), options()),
    }.items():
        for packet, state in ((IPV6.request(SYN), "syn_recv"), (IPV6.question(), "udp")):
            yield Row(
                name=f"an atomic fragment ({state}) {name}",
                before=opened(),
                frame=extended(encode_packet(packet), *chain),
                then=with_headers(sent(IPV6.inside(packet)), chain),
                state=state,
            )


def left_to_the_host() -> Iterator[Row]:
    """What is too long to walk over, malformed, or not to be skipped."""
    chains: dict[str, tuple[Extension, ...]] = {
        "nine headers": (hop_by_hop(), *[options()] * 8),
        "264 bytes of headers": (hop_by_hop(128), options(136)),
        "one header of 264 bytes": (options(264),),
        "hop-by-hop options that are not the first": (options(), hop_by_hop()),
        "hop-by-hop options twice": (hop_by_hop(), hop_by_hop()),
        "two fragment headers": (fragment(0, NUMBER), fragment(0, NUMBER)),
        "a fragment in another": (fragment(1, NUMBER), fragment(1, NUMBER + 1)),
    }
    for kind in (0, 2, 3, 4):
        chains[f"a routing header of type {kind} with a segment left"] = (
            routing(segments_left=1, kind=kind),
        )
    for name, end in ENDS.items():
        chains[name] = (end,)
        chains[f"options and {name}"] = (hop_by_hop(), end)
    for name, chain in chains.items():
        for packet in (IPV6.request(SYN), IPV6.question()):
            yield Row(
                name=f"{packet.protocol} behind {name}",
                before=opened(),
                frame=extended(encode_packet(packet), *chain),
                then=PASSED,
            )


def strangers() -> Iterator[Row]:
    """Others' packets have extension headers too."""
    before = opened(IPV6.request(SYN), IPV6.question())
    packets = {
        "to another port": IPV6.request(SYN, destination_port=81),
        "to another address": IPV6.request(SYN, destination=IPV6.elsewhere),
        "from a real server to a stranger": IPV6.reply(ACK, destination=IPV6.elsewhere),
        "an ACK of no connection": IPV6.request(ACK, source_port=40_001),
        "an echo request": IPV6.request(protocol=None, payload=b"ping" * 8),
    }
    for name, packet in packets.items():
        for chain in ("hop-by-hop options", "all three in a row"):
            yield Row(
                name=f"not ours behind {chain}: {name}",
                before=before,
                frame=extended(encode_packet(packet), *CHAINS[chain]),
                then=PASSED,
            )


def lengths() -> Iterator[Row]:
    """Lengths that do not agree with each other."""
    syn, question = encode_packet(IPV6.request(SYN)), encode_packet(IPV6.question())
    one = extended(syn, options(16))
    long_first = fragments(whole(IPV6.question()), SIZE, number=NUMBER, behind=(options(SIZE),))
    frames = {
        "a header that ends behind its packet": patched(one, FIRST + 1, b"\x05"),
        "a header that ends in the TCP header": patched(one, FIRST + 1, b"\x02"),
        "a header of 2,048 bytes, as it says": patched(one, FIRST + 1, b"\xff"),
        "a packet that ends in its header": patched(one, 18, struct.pack("!H", 8)),
        "a packet that ends with its header": patched(one, 18, struct.pack("!H", 16)),
        "a packet that ends in the TCP header": patched(one, 18, struct.pack("!H", 16 + 19)),
        "a payload length of 0": patched(one, 18, bytes(2)),
        "a payload length that is too long by one": patched(one, 18, struct.pack("!H", 16 + 21)),
        "UDP that is longer than what is behind the header": extended(
            patched(question, FIRST + 4, struct.pack("!H", 8 + 8 + 1)), options()
        ),
        "a first fragment that holds headers alone": long_first[0],
        "a first fragment that ends in a header": fragments(
            whole(IPV6.question()), SIZE, number=NUMBER, behind=(options(SIZE + 8),)
        )[0],
    }
    for name, frame in frames.items():
        yield Row(name=f"extension headers: {name}", before=opened(), frame=frame, then=PASSED)


def ends() -> Iterator[Row]:
    """At the last hop, and too big: the sender is told, and gets the headers back."""
    for name in ("hop-by-hop options", "256 bytes of headers"):
        chain = CHAINS[name]
        packet = IPV6.request(SYN, ttl=1)
        frame = extended(encode_packet(packet), *chain)
        yield Row(
            name=f"a SYN at its last hop behind {name}",
            before=opened(),
            frame=frame,
            then=IPV6.aged(frame, packet),
        )
        room = MTU - 40 - 8 - len(extended(b"\0" * 54, *chain)) + 54
        for spare in (0, 1):
            packet = replace(IPV6.question(), payload=bytes(room + spare))
            frame = extended(encode_packet(packet), *chain)
            then = with_headers(sent(IPV6.inside(packet)), chain)
            yield Row(
                name=f"a datagram behind {name} {'one byte too long for' if spare else 'as long as'} its way",
                before=opened(),
                frame=frame,
                then=too_big(IPV6, frame, packet, MTU) if spare else then,
                state="udp",
            )
    nobody = tuple(replace(each, destinations=()) for each in IPV6.serving())
    yield Row(
        name="a SYN to nobody behind destination options",
        before=nobody,
        frame=extended(encode_packet(IPV6.request(SYN)), options()),
        then=Dropped(Drop.NO_REAL_SERVER),
    )
    later = fragments(whole(IPV6.question(ttl=1)), SIZE, number=NUMBER, in_front=(hop_by_hop(),))[1]
    first = fragments(whole(IPV6.question()), SIZE, number=NUMBER, in_front=(hop_by_hop(),))[0]
    yield Row(
        name="a later fragment at its last hop behind hop-by-hop options",
        before=(*opened(), *comes(first)),
        frame=later,
        then=Dropped(Drop.TTL_EXCEEDED),
    )


ROWS = [
    *both_ways(),
    *associations(),
    *tunnels(),
    *in_order(),
    *out_of_order(),
    *whole_fragments(),
    *left_to_the_host(),
    *strangers(),
    *lengths(),
    *ends(),
]
