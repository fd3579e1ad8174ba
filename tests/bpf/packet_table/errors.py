"""ICMP and ICMPv6 errors about balanced packets, from the client's side and from the real server's."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from packet_table.build import framed, icmp_error, tunnelled
from packet_table.net import ACK, DR, IPV4, NAT, RST, SYN, UDP, Net, in_both
from packet_table.row import PASSED, Dropped, Elapses, Row, Step, arrives, older, patched, sent_as
from packet_table.tunnels import tunnel
from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Packet
from shoal.model import Address, Encapsulation
from support.packets import encode_packet

HOPS = {4: ip_address("203.0.113.1"), 6: ip_address("2001:db8:f::1")}
KINDS = {
    4: {
        "net unreachable": (3, 0, 0),
        "host unreachable": (3, 1, 0),
        "port unreachable": (3, 3, 0),
        "fragmentation needed": (3, 4, 1400),
        "administratively prohibited": (3, 13, 0),
        "source quench": (4, 0, 0),
        "time exceeded": (11, 0, 0),
        "reassembly time exceeded": (11, 1, 0),
        "parameter problem": (12, 0, 0x14000000),
    },
    6: {
        "no route": (1, 0, 0),
        "address unreachable": (1, 3, 0),
        "port unreachable": (1, 4, 0),
        "packet too big": (2, 0, 1400),
        "time exceeded": (3, 0, 0),
        "reassembly time exceeded": (3, 1, 0),
        "parameter problem": (4, 1, 40),
    },
}
NO_ERRORS = {
    4: {"redirect": 5, "echo reply": 0, "echo request": 8, "router advertisement": 9, "timestamp": 13},
    6: {"type 0": 0, "type 5": 5, "echo request": 128, "echo reply": 129, "redirect": 137},
}
TOO_BIG = {4: (3, 4, 1400), 6: (2, 0, 1400)}


def error(
    source: Address,
    destination: Address,
    about: Packet,
    *,
    kind: tuple[int, int, int] | None = None,
    quoted: int | None = None,
    ttl: int = 64,
) -> bytes:
    """The frame of an error about a packet, of which ``quoted`` bytes behind the IP header are quoted."""
    version = source.version
    quote = encode_packet(about)[14:]
    if quoted is not None:
        quote = quote[: (20 if version == 4 else 40) + quoted]
    return framed(icmp_error(source, destination, *(kind or TOO_BIG[version]), quote, ttl=ttl))


def pairs(net: Net, protocol: object = None) -> tuple[Packet, Packet, Packet, Packet]:
    """What is quoted of a reply, as the real server and the client see it; of a request, as it was sent and received.

    A quote's TTL is nobody's to change.
    """
    if protocol is UDP:
        reply, request = net.answer(), net.question()
    else:
        reply, request = net.reply(ACK, payload=b"content"), net.request(ACK, payload=b"content")
    return older(reply), net.outside(reply), older(request), net.inside(request)


def opened(net: Net, *further: Step) -> tuple[Step, ...]:
    """With a connection of TCP by nat."""
    return (*net.serving(NAT), *arrives(net.request(SYN)), *further)


def about_both_ways(net: Net, name: str, *, protocol: object = None, **how: object) -> Iterator[Row]:
    """An error from the client's side and one from the real server's, and what becomes of them."""
    reply, reply_outside, request, request_inside = pairs(net, protocol)
    hop = HOPS[net.version]
    first = net.question() if protocol is UDP else net.request(SYN)
    before = (*net.serving(NAT), *arrives(first))
    state = "udp" if protocol is UDP else "syn_recv"
    for side, frame, then in (
        (
            "a client's router",
            error(hop, net.vip, reply_outside, **how),  # type: ignore[arg-type]
            error(hop, net.real, reply, ttl=63, **how),  # type: ignore[arg-type]
        ),
        (
            "a real server",
            error(net.real, net.client, request_inside, **how),  # type: ignore[arg-type]
            error(net.vip, net.client, request, ttl=63, **how),  # type: ignore[arg-type]
        ),
    ):
        yield Row(name=f"{name} from {side}", before=before, frame=frame, then=sent_as(then), state=state)


def every_kind(net: Net) -> Iterator[Row]:
    """All errors there are."""
    for name, kind in KINDS[net.version].items():
        yield from about_both_ways(net, name, kind=kind)


def every_length(net: Net) -> Iterator[Row]:
    """Quotes that are cut: eight bytes behind the IP header are always there."""
    for quoted in (8, 9, 16, 18, 19, 20):
        yield from about_both_ways(net, f"an error that quotes {quoted} bytes of TCP", quoted=quoted)
    for quoted in (8, 9, 12):
        yield from about_both_ways(
            net, f"an error that quotes {quoted} bytes of UDP", protocol=UDP, quoted=quoted
        )


def other_senders(net: Net) -> Iterator[Row]:
    """Whoever sends it: the client itself, or a router before the real server."""
    reply, reply_outside, request, request_inside = pairs(net)
    hop = HOPS[net.version]
    yield Row(
        name="an error from the client itself",
        before=opened(net),
        frame=error(net.client, net.vip, reply_outside),
        then=sent_as(error(net.client, net.real, reply, ttl=63)),
        state="syn_recv",
    )
    yield Row(
        name="an error from a router before the real server",
        before=opened(net),
        frame=error(hop, net.client, request_inside),
        then=sent_as(error(net.vip, net.client, request, ttl=63)),
        state="syn_recv",
    )
    yield Row(
        name="an error about a reset",
        before=opened(net),
        frame=error(hop, net.vip, net.outside(net.reply(RST))),
        then=sent_as(error(hop, net.real, older(net.reply(RST)), ttl=63)),
        state="syn_recv",
    )


def other_methods(net: Net) -> Iterator[Row]:
    """By dr and through a tunnel an error goes to the real server as it came."""
    hop = HOPS[net.version]
    reply = net.reply(ACK, source=net.vip, source_port=80)
    frame = error(hop, net.vip, reply)
    yield Row(
        name="an error from a client's router by dr",
        before=(*net.serving(DR), *arrives(net.request(SYN))),
        frame=frame,
        then=sent_as(error(hop, net.vip, reply, ttl=63)),
        state="syn_recv",
    )
    yield Row(
        name="an error about what a direct real server itself sent",
        before=(*net.serving(DR), *arrives(net.request(SYN))),
        frame=error(hop, net.real, net.reply(ACK, source_port=80)),
        then=PASSED,
    )


def hops_left(net: Net) -> Iterator[Row]:
    """An error is never answered by another (RFC 1122 3.2.2, RFC 4443 2.4 e)."""
    reply, reply_outside, _, request_inside = pairs(net)
    for ttl in (0, 1):
        for side, frame in (
            ("a client's router", error(HOPS[net.version], net.vip, reply_outside, ttl=ttl)),
            ("a real server", error(net.real, net.client, request_inside, ttl=ttl)),
        ):
            yield Row(
                name=f"an error from {side} with {ttl} hops left",
                before=opened(net),
                frame=frame,
                then=Dropped(Drop.TTL_EXCEEDED),
                state="syn_recv",
            )
    last = error(HOPS[net.version], net.vip, reply_outside, ttl=2)
    yield Row(
        name="an error from a client's router with 2 hops left",
        before=opened(net),
        frame=last,
        then=sent_as(error(HOPS[net.version], net.real, reply, ttl=1)),
        state="syn_recv",
    )


def not_related(net: Net) -> Iterator[Row]:
    """Errors that are the host's."""
    _, reply, _, request = pairs(net)
    hop = HOPS[net.version]
    strangers = {
        "about a reply to another port": error(hop, net.vip, replace(reply, destination_port=40_001)),
        "about a reply from another port": error(hop, net.vip, replace(reply, source_port=81)),
        "about a reply to another client": error(hop, net.vip, replace(reply, destination=net.elsewhere)),
        "about another protocol's reply": error(hop, net.vip, net.outside(net.answer())),
        "about somebody else's packet": error(hop, net.elsewhere, replace(reply, source=net.elsewhere)),
        "to another than the quoted sender": error(hop, net.elsewhere, reply),
        "about a request to another port": error(net.real, net.client, replace(request, destination_port=1)),
        "about a request to another real server": error(
            net.real, net.client, replace(request, destination=net.other_real)
        ),
        "about an echo": error(hop, net.vip, net.request(protocol=None, source=net.vip)),
        "about a later fragment": error(hop, net.vip, replace(reply, fragment_offset=64)),
        "that quotes seven bytes of TCP": error(hop, net.vip, reply, quoted=7),
        "that quotes an IP header alone": error(hop, net.vip, reply, quoted=0),
        "that quotes half an IP header": error(hop, net.vip, reply, quoted=-10),
    }
    for name, frame in strangers.items():
        yield Row(name=f"an error {name}", before=opened(net), frame=frame, then=PASSED)
    for name, number in NO_ERRORS[net.version].items():
        frame = error(hop, net.vip, reply, kind=(number, 0, 0))
        yield Row(name=f"what is no error: {name}", before=opened(net), frame=frame, then=PASSED)
    yield Row(
        name="an error about a connection that is over",
        before=opened(net, Elapses(61)),
        frame=error(hop, net.vip, reply),
        then=PASSED,
    )
    version = 14 + net.ip_header + 8
    wrong = {4: b"\x65", 6: b"\x45"}[net.version]
    yield Row(
        name="an error that quotes a packet of another version",
        before=opened(net),
        frame=patched(error(hop, net.vip, reply), version, wrong),
        then=PASSED,
    )


def wrong_sums(net: Net) -> Iterator[Row]:
    """A wrong checksum of the message stays wrong by as much."""
    reply, reply_outside, *_ = pairs(net)
    hop, place = HOPS[net.version], 14 + net.ip_header + 2
    for wrong in (1, 0x8000):
        frames = (error(hop, net.vip, reply_outside), error(hop, net.real, reply, ttl=63))
        frame, then = (_off_by(each, place, wrong) for each in frames)
        yield Row(
            name=f"an error whose checksum is wrong by 0x{wrong:04x}",
            before=opened(net),
            frame=frame,
            then=sent_as(then),
        )


def _off_by(frame: bytes, place: int, wrong: int) -> bytes:
    found = int.from_bytes(frame[place : place + 2], "big")
    return patched(frame, place, ((found + wrong - 1) % 0xFFFF + 1).to_bytes(2, "big"))


def through_a_tunnel() -> Iterator[Row]:
    """IPv4 in IPv4."""
    reply = IPV4.reply(ACK, source=IPV4.vip, source_port=80)
    inside = error(HOPS[4], IPV4.vip, reply, ttl=63)[14:]
    found = framed(tunnelled(Encapsulation.IPIP, IPV4.router, IPV4.real, inside))
    yield Row(
        name="an error from a client's router into a tunnel",
        before=(*tunnel(IPV4, IPV4, Encapsulation.IPIP), *arrives(IPV4.request(SYN))),
        frame=error(HOPS[4], IPV4.vip, reply),
        then=sent_as(found),
        state="syn_recv",
    )


ROWS = [
    *in_both(every_kind),
    *in_both(every_length),
    *in_both(other_senders),
    *in_both(other_methods),
    *in_both(hops_left),
    *in_both(not_related),
    *in_both(wrong_sums),
    *through_a_tunnel(),
]
