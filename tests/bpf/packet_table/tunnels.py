"""Method tunnel: every encapsulation, every pair of families; and what does not fit its way by any method."""

from collections.abc import Iterator
from dataclasses import replace

from packet_table.build import answer, framed, tunnelled
from packet_table.net import ACK, DR, FIN, IPV4, IPV6, NAT, PSH, RST, SYN, Net, in_both
from packet_table.row import (
    PASSED,
    Answered,
    Dropped,
    Outcome,
    Row,
    Sent,
    arrives,
    older,
    patched,
    sent,
    sent_as,
)
from shoal.dataplane.base import Drop, Service
from shoal.dataplane.packet import Packet
from shoal.model import Encapsulation, ForwardingMethod
from support.packets import INTACT, Damage, checksum, encode_packet

TUNNEL = ForwardingMethod.TUNNEL
MTU = 1500
OVERHEAD = {
    (kind, family): {4: 20, 6: 40}[family] + extra
    for kind, extra in ((Encapsulation.IPIP, 0), (Encapsulation.GRE, 4), (Encapsulation.GUE, 12))
    for family in (4, 6)
}
TOO_BIG = {4: (3, 4), 6: (2, 0)}


def tunnel(net: Net, outer: Net, kind: Encapsulation) -> tuple[Service, ...]:
    """The services of a net whose real server is reached in another's family."""
    return tuple(
        replace(
            service,
            destinations=(replace(service.destinations[0], address=outer.real, encap=kind),),
        )
        for service in net.serving(TUNNEL)
    )


def wrapped(
    packet: Packet, outer: Net, kind: Encapsulation, damage: Damage = INTACT, traffic_class: int = 0
) -> Sent:
    """What leaves for a packet that comes."""
    inside = encode_packet(older(packet), damage=damage)[14:]
    inside = inside[: len(inside) - len(damage.padding)]
    if traffic_class:
        inside = marked(inside, traffic_class)
    outside = tunnelled(kind, outer.router, outer.real, inside, traffic_class=traffic_class)
    return sent_as(framed(outside) + damage.padding)


def marked(packet: bytes, traffic_class: int) -> bytes:
    """The same IP packet with another traffic class."""
    if packet[0] >> 4 == 6:
        first = int.from_bytes(packet[:4], "big") & ~(0xFF << 20) | traffic_class << 20
        return first.to_bytes(4, "big") + packet[4:]
    blank = patched(patched(packet, 1, bytes([traffic_class])), 10, bytes(2))
    return patched(blank, 10, checksum(blank[:20]).to_bytes(2, "big"))


def every_pair() -> Iterator[Row]:
    """Each encapsulation with either family inside and outside."""
    for kind in Encapsulation:
        for net in (IPV4, IPV6):
            for outer in (IPV4, IPV6):
                serving = tunnel(net, outer, kind)
                opened = (*serving, *arrives(net.request(SYN)))
                way = f"IPv{net.version} in IPv{outer.version} by {kind}"
                for what, before, packet, state in (
                    ("a SYN", serving, net.request(SYN, ttl=3), "syn_recv"),
                    ("a segment", opened, net.request(PSH | ACK, payload=b"odd"), "established"),
                    ("a FIN", opened, net.request(FIN | ACK), "time_wait"),
                    ("a datagram", serving, net.question(), "udp"),
                ):
                    yield Row(
                        name=f"{what} of {way}",
                        before=before,
                        frame=encode_packet(packet),
                        then=wrapped(packet, outer, kind),
                        state=state,
                    )


def inside_untouched(net: Net) -> Iterator[Row]:
    """What is inside is not put right; padding stays where it is, behind everything."""
    serving = tunnel(net, IPV4, Encapsulation.IPIP)
    opened = (*serving, *arrives(net.request(SYN)))
    segment = net.request(ACK, payload=b"as it came")
    damages = {
        "a wrong checksum": Damage(l4_checksum=0x0F0F),
        "padding": Damage(padding=b"tail" * 5),
    }
    for name, damage in damages.items():
        yield Row(
            name=f"a segment with {name} into a tunnel",
            before=opened,
            frame=encode_packet(segment, damage=damage),
            then=wrapped(segment, IPV4, Encapsulation.IPIP, damage),
        )
    without = Damage(without_l4_checksum=True)
    yield Row(
        name="a datagram without checksum into a tunnel",
        before=serving,
        frame=encode_packet(net.question(), damage=without),
        then=wrapped(net.question(), IPV4, Encapsulation.IPIP, without),
    )
    for traffic_class in (0x01, 0x02, 0x03, 0xB8, 0xFF):
        for outer in (IPV4, IPV6):
            frame = encode_packet(segment)
            yield Row(
                name=f"traffic class 0x{traffic_class:02x} into a tunnel in IPv{outer.version}",
                before=(*tunnel(net, outer, Encapsulation.IPIP), *arrives(net.request(SYN))),
                frame=frame[:14] + marked(frame[14:], traffic_class),
                then=wrapped(segment, outer, Encapsulation.IPIP, traffic_class=traffic_class),
            )
    for flags in (SYN | ACK, ACK, RST):
        packet = net.reply(flags, source_port=80)
        yield Row(
            name=f"what a real server behind a tunnel itself sends with {flags.name}",
            before=opened,
            frame=encode_packet(packet),
            then=PASSED,
        )


def aged(net: Net) -> Iterator[Row]:
    """The end of a packet's life, before it enters a tunnel."""
    serving = tunnel(net, IPV4, Encapsulation.GRE)
    for ttl in (0, 1, 2, 255):
        packet = net.request(SYN, ttl=ttl)
        frame = encode_packet(packet)
        then = net.aged(frame, packet) if ttl < 2 else wrapped(packet, IPV4, Encapsulation.GRE)
        yield Row(name=f"a SYN into a tunnel with {ttl} hops left", before=serving, frame=frame, then=then)


def too_big(net: Net, frame: bytes, packet: Packet, fits: int) -> Answered:
    """The answer to a packet that is longer than its way takes."""
    kind, code = TOO_BIG[net.version]
    return Answered(Drop.PACKET_TOO_BIG, answer(frame, packet.destination, packet.source, kind, code, fits))


def limits(net: Net) -> Iterator[Row]:
    """The longest packet that fits its way, and one byte more."""
    ways = {method.value: (net.serving(method), None, MTU) for method in (NAT, DR)}
    for (kind, family), overhead in OVERHEAD.items():
        outer = IPV4 if family == 4 else IPV6
        ways[f"{kind} in IPv{family}"] = (tunnel(net, outer, kind), (outer, kind), MTU - overhead)
    for name, (serving, how, fits) in ways.items():
        for spare in (0, -1):
            packet = replace(net.question(), payload=bytes(fits - spare - net.ip_header - 8))
            frame = encode_packet(packet)
            then: Outcome = net_sent(net, packet, name) if how is None else wrapped(packet, *how)
            if spare:
                then = too_big(net, frame, packet, fits)
            yield Row(
                name=f"a packet {'one byte too long for' if spare else 'as long as'} its way by {name}",
                before=serving,
                frame=frame,
                then=then,
                state="udp",
            )


def net_sent(net: Net, packet: Packet, method: str) -> Sent:
    """By nat or dr."""
    return sent(net.inside(packet) if method == NAT else older(packet))


def replies_too_big(net: Net) -> Iterator[Row]:
    """A real server is told too."""
    opened = (*net.serving(NAT), *arrives(net.question()))
    packet = replace(net.answer(), payload=bytes(MTU + 1 - net.ip_header - 8))
    frame = encode_packet(packet)
    yield Row(
        name="an answer one byte too long for its way",
        before=opened,
        frame=frame,
        then=too_big(net, frame, packet, MTU),
    )


def nobody(net: Net) -> Iterator[Row]:
    """A tunnel without a way, and one to nobody."""
    lost = tuple(
        replace(each, destinations=(replace(each.destinations[0], address=net.router),))
        for each in tunnel(net, net, Encapsulation.IPIP)
    )
    empty = tuple(replace(each, destinations=()) for each in tunnel(net, net, Encapsulation.IPIP))
    syn = encode_packet(net.request(SYN))
    yield Row(
        name="a tunnel with no route", before=lost, frame=syn, then=Dropped(Drop.NO_ROUTE), state="none"
    )
    yield Row(name="a tunnel to nobody", before=empty, frame=syn, then=Dropped(Drop.NO_REAL_SERVER))


ROWS = [
    *every_pair(),
    *in_both(inside_untouched),
    *in_both(aged),
    *in_both(limits),
    *in_both(replies_too_big),
    *in_both(nobody),
]
