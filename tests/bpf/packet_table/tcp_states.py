"""Every combination of TCP flags in every state that packets lead to: IPVS's table (ip_vs_proto_tcp.c) on the wire."""

from collections.abc import Iterator

from packet_table.net import ACK, DR, FIN, NAT, NONE, PSH, RST, SYN, Net, in_both
from packet_table.row import Row, Step, arrives, older, sent
from shoal.dataplane.packet import Packet, TcpFlags
from support.packets import encode_packet

FLAGS = {
    "SYN": SYN,
    "SYN-ACK": SYN | ACK,
    "ACK": ACK,
    "FIN": FIN | ACK,
    "RST": RST,
    "no flag": NONE,
}
# in one state only
ODD_FLAGS = {
    "FIN without ACK": FIN,
    "RST-ACK": RST | ACK,
    "SYN-FIN": SYN | FIN,
    "SYN-RST": SYN | RST,
    "every flag": SYN | ACK | FIN | RST | PSH,
    "PSH": PSH,
}
SAME_AS = {
    "FIN without ACK": "FIN",
    "PSH": "no flag",
    "SYN-FIN": "SYN-ACK",
    "RST-ACK": "RST",
    "SYN-RST": "RST",
    "every flag": "RST",
}
STATES = ("syn_recv", "established", "fin_wait", "close_wait", "time_wait", "close")

# the state afterwards, in the order of STATES
FROM_CLIENT = {
    "SYN": "syn_recv established syn_recv syn_recv syn_recv syn_recv",
    "SYN-ACK": "syn_recv established syn_recv syn_recv syn_recv syn_recv",
    "ACK": "established established fin_wait close_wait time_wait close",
    "FIN": "time_wait close_wait time_wait close_wait time_wait close",
    "RST": "syn_recv close close close close close",
    "no flag": " ".join(STATES),
}
FROM_SERVER = {
    "SYN": "syn_recv established syn_sent syn_sent syn_sent syn_sent",
    "SYN-ACK": "syn_recv established syn_sent syn_sent syn_sent syn_sent",
    "ACK": "established established fin_wait close_wait time_wait close",
    "FIN": "time_wait fin_wait fin_wait time_wait time_wait close",
    "RST": "close close close close time_wait close",
    "no flag": " ".join(STATES),
}
DIRECT_STATES = ("syn_recv", "established", "fin_wait", "time_wait", "close")
FROM_CLIENT_ONLY = {
    "SYN": "syn_recv established syn_recv syn_recv syn_recv",
    "SYN-ACK": "syn_recv established syn_recv syn_recv syn_recv",
    "ACK": "established established fin_wait time_wait close",
    "FIN": "time_wait fin_wait fin_wait time_wait close",
    "RST": "syn_recv close close close close",
    "no flag": " ".join(DIRECT_STATES),
}


def after(table: dict[str, str], flags: str, position: int) -> str:
    """The state after a packet; combinations that mean the same share a line."""
    return table[SAME_AS.get(flags, flags)].split()[position]


def histories(net: Net) -> dict[str, list[Packet]]:
    """The packets that lead to each state by nat."""
    opened = [net.request(SYN), net.reply(SYN | ACK), net.request(ACK)]
    ends, ended = net.request(FIN | ACK), net.reply(FIN | ACK)
    return {
        "syn_recv": opened[:1],
        "established": opened,
        "fin_wait": [*opened, ended],
        "close_wait": [*opened, ends],
        "time_wait": [*opened, ends, ended],
        "close": [*opened, net.request(RST)],
    }


def direct_histories(net: Net) -> dict[str, list[Packet]]:
    """The packets that lead to each state where replies are not seen."""
    opened = [net.request(SYN), net.request(ACK)]
    return {
        "syn_recv": opened[:1],
        "established": opened,
        "fin_wait": [*opened, net.request(FIN | ACK)],
        "time_wait": [net.request(SYN), net.request(FIN | ACK)],
        "close": [*opened, net.request(RST)],
    }


def by_nat(net: Net) -> Iterator[Row]:
    """Both directions, replies seen."""
    for position, state in enumerate(STATES):
        before = (*net.serving(NAT), *arrives(*histories(net)[state]))
        for name, flags in (FLAGS | ODD_FLAGS if state == "established" else FLAGS).items():
            yield from _both_ways(net, before, name, flags, position)


def _both_ways(
    net: Net, before: tuple[Step, ...], name: str, flags: TcpFlags, position: int
) -> Iterator[Row]:
    request, reply = net.request(flags), net.reply(flags)
    yield Row(
        name=f"{name} from the client in {STATES[position]}",
        before=before,
        frame=encode_packet(request),
        then=sent(net.inside(request)),
        state=after(FROM_CLIENT, name, position),
    )
    yield Row(
        name=f"{name} from the real server in {STATES[position]}",
        before=before,
        frame=encode_packet(reply),
        then=sent(net.outside(reply)),
        state=after(FROM_SERVER, name, position),
    )


def by_dr(net: Net) -> Iterator[Row]:
    """From the client alone."""
    for position, state in enumerate(DIRECT_STATES):
        before = (*net.serving(DR), *arrives(*direct_histories(net)[state]))
        for name, flags in FLAGS.items():
            request = net.request(flags)
            yield Row(
                name=f"{name} from the client in {state} by dr",
                before=before,
                frame=encode_packet(request),
                then=sent(older(request)),
                state=after(FROM_CLIENT_ONLY, name, position),
            )


ROWS = [*in_both(by_nat), *in_both(by_dr)]
