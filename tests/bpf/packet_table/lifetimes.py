"""TTL and hop limit, and the ends of connections."""

from collections.abc import Iterator

from packet_table.net import ACK, DR, FIN, NAT, NONE, RST, SYN, Net, in_both
from packet_table.row import PASSED, Elapses, Row, arrives, older, sent
from support.packets import encode_packet


def hops(net: Net) -> Iterator[Row]:
    """What a router does at the end of a packet's life, and before."""
    nat, dr = net.serving(NAT), net.serving(DR)
    opened, direct = (*nat, *arrives(net.request(SYN))), (*dr, *arrives(net.request(SYN)))
    flowing, direct_flow = (*nat, *arrives(net.question())), (*dr, *arrives(net.question()))
    for ttl in (0, 1, 2, 128, 255):
        ends = ttl < 2
        for what, before, packet, then in (
            ("a SYN by nat", nat, net.request(SYN, ttl=ttl), net.inside),
            ("a segment by nat", opened, net.request(ACK, ttl=ttl), net.inside),
            ("a reply by nat", opened, net.reply(ACK, ttl=ttl), net.outside),
            ("a datagram by nat", flowing, net.question(ttl=ttl), net.inside),
            ("an answer by nat", flowing, net.answer(ttl=ttl), net.outside),
            ("a SYN by dr", dr, net.request(SYN, ttl=ttl), older),
            ("a segment by dr", direct, net.request(ACK, ttl=ttl), older),
            ("a datagram by dr", direct_flow, net.question(ttl=ttl), older),
        ):
            frame = encode_packet(packet)
            yield Row(
                name=f"{what} with {ttl} hops left",
                before=before,
                frame=frame,
                then=net.aged(frame, packet) if ends else sent(then(packet)),
            )
    for what, packet in (
        ("a segment of no connection", net.request(ACK, ttl=1)),
        ("a packet to the router", net.request(SYN, destination=net.router, ttl=1)),
        ("a packet for elsewhere", net.request(SYN, destination=net.elsewhere, ttl=0)),
        ("a real server's own packet", net.reply(SYN, ttl=1)),
    ):
        yield Row(
            name=f"{what} at its last hop is the host's",
            before=nat,
            frame=encode_packet(packet),
            then=PASSED,
        )


def ends(net: Net) -> Iterator[Row]:
    """A connection just before its time is up, and just after."""
    nat = net.serving(NAT)
    opened = arrives(net.request(SYN), net.reply(SYN | ACK), net.request(ACK))
    closed = (*opened, *arrives(net.request(FIN | ACK), net.reply(FIN | ACK)))
    lives = {
        "established": (opened, 900),
        "time_wait": (closed, 120),
        "syn_recv": (arrives(net.request(SYN)), 60),
        "close": ((*opened, *arrives(net.request(RST))), 10),
    }
    ack, reply = net.request(ACK), net.reply(ACK)
    for state, (history, seconds) in lives.items():
        late = (*nat, *history, Elapses(seconds + 1))
        early = (*nat, *history, Elapses(seconds - 1))
        yield Row(
            name=f"a segment just before the end of {state}",
            before=early,
            frame=encode_packet(ack),
            then=sent(net.inside(ack)),
        )
        yield Row(
            name=f"a segment after the end of {state}", before=late, frame=encode_packet(ack), then=PASSED
        )
        yield Row(
            name=f"a reply after the end of {state}", before=late, frame=encode_packet(reply), then=PASSED
        )
        yield Row(
            name=f"a SYN after the end of {state}",
            before=late,
            frame=encode_packet(net.request(SYN)),
            then=sent(net.inside(net.request(SYN))),
            state="syn_recv",
        )


def flow_ends(net: Net) -> Iterator[Row]:
    """The same for datagrams."""
    flow = (*net.serving(NAT), *arrives(net.question()))
    question, answer = net.question(), net.answer()
    yield Row(
        name="an answer just before the end of a flow",
        before=(*flow, Elapses(299)),
        frame=encode_packet(answer),
        then=sent(net.outside(answer)),
    )
    yield Row(
        name="an answer after the end of a flow",
        before=(*flow, Elapses(301)),
        frame=encode_packet(answer),
        then=PASSED,
    )
    yield Row(
        name="a datagram after the end of a flow begins another",
        before=(*flow, Elapses(301)),
        frame=encode_packet(question),
        then=sent(net.inside(question)),
        state="udp",
    )


def nothing_open(net: Net) -> Iterator[Row]:
    """TCP without a connection: only a plain SYN opens one."""
    for name, flags in {
        "an ACK": ACK,
        "a SYN-ACK": SYN | ACK,
        "a FIN": FIN | ACK,
        "a RST": RST,
        "a SYN-FIN": SYN | FIN,
        "a SYN-RST": SYN | RST,
        "a segment without flags": NONE,
    }.items():
        yield Row(
            name=f"{name} of no connection",
            before=net.serving(NAT),
            frame=encode_packet(net.request(flags)),
            then=PASSED,
        )


ROWS = [*in_both(hops), *in_both(ends), *in_both(flow_ends), *in_both(nothing_open)]
