"""Whole packets of every method, both ways."""

from collections.abc import Iterator
from dataclasses import replace

from packet_table.net import ACK, DR, FIN, NAT, PSH, RST, SYN, UDP, Net, in_both
from packet_table.row import PASSED, Row, arrives, older, sent
from support.packets import Damage, encode_packet

PAYLOADS = {"one byte": b"x", "an odd length": b"odd", "1,440 bytes": bytes(range(256)) * 5 + bytes(160)}


def nat_requests(net: Net) -> Iterator[Row]:
    """From clients by nat."""
    syn, question = net.request(SYN), net.question()
    nat = net.serving(NAT)
    yield Row(
        name="a SYN opens a connection by nat",
        before=nat,
        frame=encode_packet(syn),
        then=sent(net.inside(syn)),
        state="syn_recv",
    )
    yield Row(
        name="a datagram opens a flow by nat",
        before=nat,
        frame=encode_packet(question),
        then=sent(net.inside(question)),
        state="udp",
    )
    yield Row(
        name="another datagram of a flow by nat",
        before=(*nat, *arrives(question)),
        frame=encode_packet(net.question(ttl=9)),
        then=sent(net.inside(net.question(ttl=9))),
        state="udp",
    )
    fast = net.request(SYN, payload=b"GET / HTTP/1.0\r\n\r\n")
    yield Row(
        name="a SYN with a payload (TCP Fast Open) by nat",
        before=nat,
        frame=encode_packet(fast),
        then=sent(net.inside(fast)),
        state="syn_recv",
    )


def nat_payloads(net: Net) -> Iterator[Row]:
    """From clients by nat, with something in them."""
    nat = net.serving(NAT)
    opened = (*nat, *arrives(net.request(SYN)))
    for name, payload in PAYLOADS.items():
        packet = net.request(PSH | ACK, payload=payload)
        yield Row(
            name=f"a segment with {name} by nat",
            before=opened,
            frame=encode_packet(packet),
            then=sent(net.inside(packet)),
            state="established",
        )
        packet = replace(net.question(), payload=payload)
        yield Row(
            name=f"a datagram with {name} by nat",
            before=nat,
            frame=encode_packet(packet),
            then=sent(net.inside(packet)),
            state="udp",
        )


def nat_replies(net: Net) -> Iterator[Row]:
    """From real servers by nat."""
    nat = net.serving(NAT)
    opened = (*nat, *arrives(net.request(SYN)))
    asked = (*nat, *arrives(net.question()))
    for name, payload in PAYLOADS.items():
        packet = net.reply(PSH | ACK, payload=payload)
        yield Row(
            name=f"a reply with {name} in the virtual address's name",
            before=opened,
            frame=encode_packet(packet),
            then=sent(net.outside(packet)),
            state="established",
        )
        packet = replace(net.answer(ttl=200), payload=payload)
        yield Row(
            name=f"an answer with {name} in the virtual address's name",
            before=asked,
            frame=encode_packet(packet),
            then=sent(net.outside(packet)),
            state="udp",
        )
    stray = {
        "of no connection": (nat, net.reply(ACK)),
        "from another port": (opened, net.reply(ACK, source_port=8081)),
        "from another real server": (opened, net.reply(ACK, source=net.other_real)),
        "to another port": (opened, net.reply(ACK, destination_port=40_001)),
        "to another client": (opened, net.reply(ACK, destination=net.elsewhere)),
        "in the other protocol": (opened, net.reply(protocol=UDP, source_port=8080)),
    }
    for name, (before, packet) in stray.items():
        yield Row(
            name=f"a real server's packet {name}", before=before, frame=encode_packet(packet), then=PASSED
        )


def direct(net: Net) -> Iterator[Row]:
    """By dr: as it came but for MACs and TTL, and never a reply."""
    dr = net.serving(DR)
    syn = net.request(SYN)
    opened = (*dr, *arrives(syn))
    packets = {
        "a SYN that opens a connection": (dr, syn, "syn_recv"),
        "a segment": (opened, net.request(PSH | ACK, payload=b"GET /"), "established"),
        "a datagram": (dr, net.question(), "udp"),
        "a datagram without payload": (dr, replace(net.question(), payload=b""), "udp"),
    }
    for name, (before, packet, state) in packets.items():
        yield Row(
            name=f"{name} by dr",
            before=before,
            frame=encode_packet(packet),
            then=sent(older(packet)),
            state=state,
        )
    for damage in (Damage(l4_checksum=0x0F0F), Damage(padding=b"tail" * 5)):
        packet = net.request(ACK, payload=b"as it came")
        yield Row(
            name=f"a segment with {'a wrong checksum' if damage.l4_checksum else 'padding'} by dr",
            before=opened,
            frame=encode_packet(packet, damage=damage),
            then=sent(older(packet), damage),
            state="established",
        )
    for flags in (SYN | ACK, ACK, FIN | ACK, RST):
        packet = net.reply(flags, source_port=80)
        yield Row(
            name=f"what a direct real server itself sends with {flags!r}".replace("TcpFlags.", ""),
            before=opened,
            frame=encode_packet(packet),
            then=PASSED,
        )


ROWS = [*in_both(nat_requests), *in_both(nat_payloads), *in_both(nat_replies), *in_both(direct)]
