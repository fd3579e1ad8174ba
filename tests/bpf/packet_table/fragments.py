"""Fragments: they go where the first of their datagram went, in whatever order they come."""

from collections.abc import Iterator
from dataclasses import replace

from packet_table.net import DR, IPV6, NAT, SYN, Net, in_both
from packet_table.row import HELD, PASSED, Dropped, Elapses, Row, arrives, older, patched, sent, sent_as
from packet_table.tunnels import tunnel, wrapped
from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Packet
from shoal.model import Encapsulation
from support.packets import Damage, encode_packet

SIZE = 64
NUMBER = 7


def parts(whole: Packet, number: int = 3) -> list[Packet]:
    """A datagram in fragments of SIZE bytes."""
    first = replace(whole, payload=bytes(range(SIZE - 8)), more_fragments=True, identification=NUMBER)
    later = replace(first, source_port=0, destination_port=0, payload=bytes(range(SIZE)))
    return [
        first,
        *(
            replace(later, fragment_offset=SIZE * place, more_fragments=place < number - 1)
            for place in range(1, number)
        ),
    ]


def inside(net: Net, fragment: Packet) -> Packet:
    """A request's fragment as the real server gets it."""
    port = 0 if fragment.fragment_offset else 5353
    return replace(fragment, destination=net.real, destination_port=port, ttl=fragment.ttl - 1)


def outside(net: Net, fragment: Packet) -> Packet:
    """A reply's fragment as the client gets it."""
    port = 0 if fragment.fragment_offset else 53
    return replace(fragment, source=net.vip, source_port=port, ttl=fragment.ttl - 1)


def in_order(net: Net) -> Iterator[Row]:
    """First, middle and last, both ways, by every method."""
    nat, dr, gre = net.serving(NAT), net.serving(DR), tunnel(net, net, Encapsulation.GRE)
    asked = (*nat, *arrives(net.question()))
    requests, replies = parts(net.question()), parts(net.answer())
    for place, name in enumerate(("the first", "a middle", "the last")):
        request, reply = requests[place], replies[place]
        for method, before, then in (
            ("nat", nat, sent(inside(net, request))),
            ("dr", dr, sent(older(request))),
        ):
            yield Row(
                name=f"{name} fragment of a datagram by {method}",
                before=(*before, *arrives(*requests[:place])),
                frame=encode_packet(request),
                then=then,
                state="udp",
            )
        yield Row(
            name=f"{name} fragment of an answer by nat",
            before=(*asked, *arrives(*replies[:place])),
            frame=encode_packet(reply),
            then=sent(outside(net, reply)),
            state="udp",
        )
    first = requests[0]
    yield Row(
        name="the first fragment of a datagram into a tunnel",
        before=gre,
        frame=encode_packet(first),
        then=wrapped(first, net, Encapsulation.GRE),
        state="udp",
    )


def out_of_order(net: Net) -> Iterator[Row]:
    """What comes before its first waits for it; XDP leaves that to TC."""
    nat = net.serving(NAT)
    first, middle, last = parts(net.question())
    for name, before, fragment in (
        ("the last fragment before all others", (), last),
        ("a middle fragment before its first", (), middle),
        ("the last fragment before its first, and another waits", arrives(middle), last),
        ("a fragment whose first came long ago", (*arrives(first), Elapses(3)), middle),
        ("a fragment of a datagram with another number", arrives(first), replace(middle, identification=8)),
        ("a fragment of another sender", arrives(first), replace(middle, source=net.elsewhere)),
    ):
        yield Row(name=name, before=(*nat, *before), frame=encode_packet(fragment), then=HELD, on_xdp=PASSED)
    yield Row(
        name="the first fragment when others wait for it",
        before=(*nat, *arrives(last, middle)),
        frame=encode_packet(first),
        then=sent(inside(net, first)),
        state="udp",
    )


def dropped(net: Net) -> Iterator[Row]:
    """Fragments that end here, and those that nobody is told about."""
    nat = net.serving(NAT)
    first, middle, _ = parts(net.question())
    aged = replace(first, ttl=1)
    yield Row(
        name="a first fragment at its last hop",
        before=nat,
        frame=encode_packet(aged),
        then=Dropped(Drop.TTL_EXCEEDED),
    )
    yield Row(
        name="a later fragment at its last hop",
        before=(*nat, *arrives(first)),
        frame=encode_packet(replace(middle, ttl=1)),
        then=Dropped(Drop.TTL_EXCEEDED),
    )
    yield Row(
        name="a later fragment that is too big for its way",
        before=(*nat, *arrives(first)),
        frame=encode_packet(replace(middle, payload=bytes(1504))),
        then=Dropped(Drop.PACKET_TOO_BIG),
    )
    nobody = tuple(replace(each, destinations=()) for each in nat)
    yield Row(
        name="a first fragment to nobody",
        before=nobody,
        frame=encode_packet(first),
        then=Dropped(Drop.NO_REAL_SERVER),
    )


def not_ours(net: Net) -> Iterator[Row]:
    """Fragments of others."""
    nat = net.serving(NAT)
    first, middle, last = parts(net.question())
    port, tcp = replace(first, destination_port=54), parts(net.request(SYN))[0]
    place = 23 if net.version == 4 else 54
    icmp = patched(encode_packet(middle), place, bytes([1 if net.version == 4 else 58]))
    for name, before, frame in (
        ("a first fragment to another port", (), encode_packet(port)),
        ("a later fragment of a datagram to another port", arrives(port), encode_packet(middle)),
        ("a first fragment to another address", (), encode_packet(replace(first, destination=net.elsewhere))),
        (
            "a later fragment to another address",
            (),
            encode_packet(replace(middle, destination=net.elsewhere)),
        ),
        ("a later fragment to the router itself", (), encode_packet(replace(middle, destination=net.router))),
        ("a later fragment of an echo", arrives(first), icmp),
        ("a first fragment that ends in the TCP header", (), _first_of_tcp(tcp, 8)),
        ("a first fragment that ends one byte before the end of the TCP header", (), _first_of_tcp(tcp, 19)),
        ("a later fragment without content", arrives(first), encode_packet(replace(last, payload=b""))),
    ):
        yield Row(name=name, before=(*nat, *before), frame=frame, then=PASSED)


def _first_of_tcp(packet: Packet, size: int) -> bytes:
    """A first fragment with so many bytes of TCP (RFC 1858 has what they are used for)."""
    cut = 20 - size
    return encode_packet(replace(packet, payload=b""), damage=Damage(total_length=-cut, cut=cut))


def atomic() -> Iterator[Row]:
    """A fragment that is the whole packet (RFC 6946)."""
    question = IPV6.question()
    yield Row(
        name="an atomic fragment",
        before=IPV6.serving(NAT),
        frame=_atomic(question),
        then=sent_as(_atomic(IPV6.inside(question))),
        state="udp",
    )
    yield Row(
        name="an atomic fragment to another port",
        before=IPV6.serving(NAT),
        frame=_atomic(replace(question, destination_port=54)),
        then=PASSED,
    )


def _atomic(packet: Packet) -> bytes:
    """With a fragment header that says offset 0 and no more."""
    return patched(encode_packet(replace(packet, more_fragments=True)), 14 + 40 + 2, b"\0\0")


ROWS = [
    *in_both(in_order),
    *in_both(out_of_order),
    *in_both(dropped),
    *in_both(not_ours),
    *atomic(),
]
