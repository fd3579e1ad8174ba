"""Why a packet is dropped, other than what stands with its own kind."""

from collections.abc import Iterator
from dataclasses import replace

from packet_table.net import ACK, DR, FIN, RST, SYN, Net, in_both
from packet_table.row import PASSED, Dropped, Row, Step, arrives, older, sent
from shoal.dataplane.base import Drop
from support.packets import encode_packet

NOBODY = Dropped(Drop.NO_REAL_SERVER)
NO_ROUTE = Dropped(Drop.NO_ROUTE)
IN_USE = Dropped(Drop.REPLY_TUPLE_IN_USE)


def no_real_server(net: Net) -> Iterator[Row]:
    """Nobody to send it to."""
    syn, question = net.request(SYN), net.question()
    nobody: tuple[Step, ...] = tuple(replace(each, destinations=()) for each in net.serving())
    for why, before in {
        "none at all": nobody,
        "the only one quiesced": net.serving(weight=0),
        "the only one down": net.serving(available=False),
    }.items():
        yield Row(name=f"a SYN with {why}", before=before, frame=encode_packet(syn), then=NOBODY)
        yield Row(name=f"a datagram with {why}", before=before, frame=encode_packet(question), then=NOBODY)
        yield Row(
            name=f"an ACK of no connection with {why}",
            before=before,
            frame=encode_packet(net.request(ACK)),
            then=PASSED,
        )
    opened = arrives(syn, net.reply(SYN | ACK), net.request(ACK))
    for why, changed in {"quiesced": net.serving(weight=0), "down": net.serving(available=False)}.items():
        ack = net.request(ACK)
        yield Row(
            name=f"a segment of a connection whose real server is {why} since",
            before=(*net.serving(), *opened, *changed),
            frame=encode_packet(ack),
            then=sent(net.inside(ack)),
        )
    yield Row(
        name="a datagram of a flow whose only real server is quiesced since",
        before=(*net.serving(), *arrives(question), *net.serving(weight=0)),
        frame=encode_packet(question),
        then=sent(net.inside(question)),
    )
    for what, packet in (("a datagram of a flow", question), ("a SYN again", syn)):
        yield Row(
            name=f"{what} whose only real server is down since",
            before=(*net.serving(), *arrives(packet), *net.serving(available=False)),
            frame=encode_packet(packet),
            then=NOBODY,
            state="",
        )


def moved(net: Net) -> Iterator[Row]:
    """What is not established leaves a real server that is down."""
    tcp, udp = net.serving()
    first, second = tcp.destinations[0], replace(tcp.destinations[0], address=net.other_real)
    both = (
        replace(tcp, destinations=(replace(first, available=False), second)),
        replace(
            udp, destinations=(replace(udp.destinations[0], available=False), replace(second, port=5353))
        ),
    )
    for what, packet, state in (
        ("a SYN", net.request(SYN), "syn_recv"),
        ("a datagram", net.question(), "udp"),
    ):
        yield Row(
            name=f"{what} goes to another real server when its own is down",
            before=(*net.serving(), *arrives(packet), *both),
            frame=encode_packet(packet),
            then=sent(replace(net.inside(packet), destination=net.other_real)),
            state=state,
        )
    opened = (*net.serving(), *arrives(net.request(SYN), net.reply(SYN | ACK), net.request(ACK)))
    for what, last in (("FIN", FIN | ACK), ("RST", RST)):
        yield Row(
            name=f"the {what} of an established connection still goes to a real server that is down",
            before=(*opened, *both),
            frame=encode_packet(net.request(last)),
            then=sent(net.inside(net.request(last))),
        )


def no_route(net: Net) -> Iterator[Row]:
    """Where the kernel would not forward to."""
    lost = net.serving(address=net.router)
    for what, packet in (("a SYN", net.request(SYN)), ("a datagram", net.question())):
        yield Row(
            name=f"{what} for a real server that no route leads to",
            before=lost,
            frame=encode_packet(packet),
            then=NO_ROUTE,
            state=what.replace("a SYN", "none").replace("a datagram", "udp"),
        )
    syn = net.request(SYN, source=net.router)
    yield Row(
        name="a reply to a client that no route leads to",
        before=(*net.serving(), *arrives(syn)),
        frame=encode_packet(net.reply(ACK, destination=net.router)),
        then=NO_ROUTE,
    )


def reply_in_use(net: Net) -> Iterator[Row]:
    """Two connections of one client port must not look alike to the real server."""
    tcp, udp = net.serving()
    other = net.elsewhere
    second = replace(tcp, name="second", listeners=(replace(tcp.listeners[0], address=other),))
    second_udp = replace(udp, name="second-udp", listeners=(replace(udp.listeners[0], address=other),))
    serving = (tcp, udp, second, second_udp)
    for what, packet in (("a SYN", net.request(SYN)), ("a datagram", net.question())):
        yield Row(
            name=f"{what} from a client port that talks to the same real server by another name",
            before=(*serving, *arrives(packet)),
            frame=encode_packet(replace(packet, destination=other)),
            then=IN_USE,
        )
        free = replace(packet, destination=other, source_port=40_001)
        yield Row(
            name=f"{what} from another client port to the same real server by another name",
            before=(*serving, *arrives(packet)),
            frame=encode_packet(free),
            then=sent(replace(net.inside(packet), source_port=40_001)),
        )
    over = arrives(net.request(SYN), net.request(RST), net.request(ACK), net.reply(RST))
    yield Row(
        name="a SYN from a client port whose connection by another name is reset",
        before=(*serving, *over),
        frame=encode_packet(net.request(SYN, destination=other)),
        then=sent(net.inside(net.request(SYN))),
        state="syn_recv",
    )
    direct = tuple(
        replace(each, listeners=(replace(each.listeners[0], address=other),), name=f"d-{each.name}")
        for each in net.serving(DR)
    )
    packet = net.request(SYN, destination=other)
    yield Row(
        name="direct routing shares a client port among names",
        before=(*net.serving(DR), *direct, *arrives(net.request(SYN))),
        frame=encode_packet(packet),
        then=sent(older(packet)),
    )


ROWS = [*in_both(no_real_server), *in_both(moved), *in_both(no_route), *in_both(reply_in_use)]
