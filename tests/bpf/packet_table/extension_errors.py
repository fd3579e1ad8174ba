"""ICMPv6 behind extension headers, and errors that quote packets which have some."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from packet_table.arp import EXPIRED, SOLICITATION, neighbour
from packet_table.build import framed, icmp_error
from packet_table.errors import HOPS, opened, pairs
from packet_table.extensions import CHAINS, NUMBER, SIZE, comes, whole
from packet_table.net import ACK, IPV6
from packet_table.row import PASSED, LeaseEnds, Row, patched, sent_as
from shoal.dataplane.packet import Packet
from shoal.model import Address
from support.extension_headers import Extension, extended, fragment, fragments, hop_by_hop, options, routing
from support.packets import encode_packet

TOO_BIG = (2, 0, 1400)
LISTENER_REPORT = 143
ECHO = 128
NONE: tuple[Extension, ...] = ()


def error(
    source: Address,
    destination: Address,
    quote: bytes,
    *,
    outside: Sequence[Extension] = (),
    ttl: int = 64,
) -> bytes:
    """The frame of an error that quotes a packet, itself behind extension headers."""
    return extended(framed(icmp_error(source, destination, *TOO_BIG, quote, ttl=ttl)), *outside)


def quoted(packet: Packet, chain: Sequence[Extension], length: int | None = None) -> bytes:
    """The packet as an error quotes it, with ``length`` bytes behind its extension headers."""
    found = extended(encode_packet(packet), *chain)[14:]
    size = len(found) - len(encode_packet(packet)[54:])
    return found if length is None else found[: size + length]


def both_ways() -> Iterator[Row]:
    """From the client's side and from the real server's: headers outside, inside, and both."""
    reply, reply_outside, request, request_inside = pairs(IPV6)
    hop = HOPS[6]
    for outer in ("nothing", "hop-by-hop options", "256 bytes of headers"):
        for inner, inside in {"nothing": NONE, **CHAINS}.items():
            outside = CHAINS.get(outer, NONE)
            if not outside and not inside:
                continue
            for side, frame, then in (
                (
                    "a client's router",
                    error(hop, IPV6.vip, quoted(reply_outside, inside), outside=outside),
                    error(hop, IPV6.real, quoted(reply, inside), outside=outside, ttl=63),
                ),
                (
                    "a real server",
                    error(IPV6.real, IPV6.client, quoted(request_inside, inside), outside=outside),
                    error(IPV6.vip, IPV6.client, quoted(request, inside), outside=outside, ttl=63),
                ),
            ):
                yield Row(
                    name=f"an error from {side} behind {outer} about a packet behind {inner}",
                    before=opened(IPV6),
                    frame=frame,
                    then=sent_as(then),
                    state="syn_recv",
                )


def cut() -> Iterator[Row]:
    """Quotes that end soon behind the extension headers, and within them."""
    reply, reply_outside, *_ = pairs(IPV6)
    hop, chain = HOPS[6], (hop_by_hop(), options(16))
    for length in (8, 18, 20):
        yield Row(
            name=f"an error that quotes {length} bytes of TCP behind headers",
            before=opened(IPV6),
            frame=error(hop, IPV6.vip, quoted(reply_outside, chain, length)),
            then=sent_as(error(hop, IPV6.real, quoted(reply, chain, length), ttl=63)),
            state="syn_recv",
        )
    for length in (7, 0, -1, -16, -17, -24):
        yield Row(
            name=f"an error whose quote ends {length} bytes behind the extension headers",
            before=opened(IPV6),
            frame=error(hop, IPV6.vip, quoted(reply_outside, chain, length)),
            then=PASSED,
        )


def of_fragments() -> Iterator[Row]:
    """An error about a first fragment has the ports; one about another has not."""
    question = IPV6.question()
    answer, outside = (
        fragments(whole(each), SIZE, number=NUMBER, in_front=(hop_by_hop(),), behind=(options(),))
        for each in (IPV6.answer(ttl=63), IPV6.outside(IPV6.answer()))
    )
    before = (*IPV6.serving(), *comes(encode_packet(question)))
    yield Row(
        name="an error about a first fragment amid headers",
        before=before,
        frame=error(HOPS[6], IPV6.vip, outside[0][14:]),
        then=sent_as(error(HOPS[6], IPV6.real, answer[0][14:], ttl=63)),
        state="udp",
    )
    yield Row(
        name="an error about a later fragment amid headers",
        before=before,
        frame=error(HOPS[6], IPV6.vip, outside[1][14:]),
        then=PASSED,
    )


def left_to_the_host() -> Iterator[Row]:
    """Chains that are not walked, outside and inside; and messages that are no errors."""
    _, reply, *_ = pairs(IPV6)
    hop = HOPS[6]
    chains: dict[str, tuple[Extension, ...]] = {
        "nine headers": (hop_by_hop(), *[options()] * 8),
        "264 bytes of headers": (options(264),),
        "a routing header with a segment left": (routing(segments_left=1),),
    }
    for name, chain in chains.items():
        yield Row(
            name=f"an error behind {name}",
            before=opened(IPV6),
            frame=error(hop, IPV6.vip, quoted(reply, NONE), outside=chain),
            then=PASSED,
        )
        yield Row(
            name=f"an error about a packet behind {name}",
            before=opened(IPV6),
            frame=error(hop, IPV6.vip, quoted(reply, chain)),
            then=PASSED,
        )
    yield Row(
        name="a first fragment of an error behind options",
        before=opened(IPV6),
        frame=error(hop, IPV6.vip, quoted(reply, NONE), outside=(hop_by_hop(), fragment(1, NUMBER))),
        then=PASSED,
    )
    yield Row(
        name="an error about a stranger's packet behind options",
        before=opened(IPV6),
        frame=error(hop, IPV6.vip, quoted(replace(reply, destination_port=1), (options(),))),
        then=PASSED,
    )
    for name, kind in (("a multicast listener report", LISTENER_REPORT), ("an echo request", ECHO)):
        frame = extended(encode_packet(IPV6.request(ACK, protocol=None, payload=bytes(16))), hop_by_hop())
        yield Row(
            name=f"{name} behind hop-by-hop options",
            before=opened(IPV6),
            frame=patched(frame, 62, bytes([kind])),
            then=PASSED,
        )


def questions() -> Iterator[Row]:
    """A neighbour solicitation is not hidden from the lease by a header in front of it."""
    serving, over = IPV6.serving(), LeaseEnds((IPV6.vip,))
    for name, chain in (
        ("destination options", (options(),)),
        ("an atomic fragment", (fragment(0, NUMBER),)),
    ):
        for address, then in ((IPV6.vip, EXPIRED), (IPV6.router, PASSED)):
            frame = extended(neighbour(SOLICITATION, address, options=b""), *chain)
            what = f"a solicitation for {'the virtual' if address == IPV6.vip else 'its own'} address behind {name}"
            yield Row(name=what, before=serving, frame=frame, then=PASSED)
            yield Row(name=f"{what} after the lease", before=(*serving, over), frame=frame, then=then)


ROWS = [*both_ways(), *cut(), *of_fragments(), *left_to_the_host(), *questions()]
