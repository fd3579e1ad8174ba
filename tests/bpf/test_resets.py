"""TCP resets that clients get when their connection is ended: to the last byte."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from shoal.dataplane.base import Destination, Drop, PutService, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Leaving, Listener, Protocol
from support.packet_bench import ANSWER, SEND, PacketBench
from support.packets import (
    DESTINATION_MAC,
    ETHERNET,
    INTACT,
    SOURCE_MAC,
    TCP,
    Damage,
    decode_packet,
    encode_packet,
)

VIPS = {4: ip_address("192.0.2.10"), 6: ip_address("2001:db8::10")}
CLIENTS = {4: ip_address("198.51.100.7"), 6: ip_address("2001:db8:9::7")}
REALS = {4: ip_address("10.0.1.21"), 6: ip_address("2001:db8:1::21")}
IP_HEADER = {4: 20, 6: 40}
OTHERS = [
    ForwardingMethod.NAT,
    ForwardingMethod.DR,
    ForwardingMethod.TUNNEL,
]  # that need nothing of the router
ACK, FIN, PSH, RST, SYN = (TcpFlags(bit) for bit in (0x10, 0x01, 0x08, 0x04, 0x02))


def request(family: int, flags: TcpFlags, **fields: object) -> Packet:
    return replace(
        Packet(
            source=CLIENTS[family],
            source_port=40_000,
            destination=VIPS[family],
            destination_port=80,
            flags=flags,
        ),
        **fields,
    )


def cut_connection(bench: PacketBench, family: int, method: ForwardingMethod) -> None:
    """Open the client's connection, and remove its real server."""
    service = Service(
        name="www",
        listeners=(Listener(address=VIPS[family], port=80, protocol=Protocol.TCP),),
        scheduler="rr",
        method=method,
        destinations=(Destination(address=REALS[family], port=80, weight=1),),
        on_removal=Leaving.RESET,
    )
    bench.dataplane.apply([PutService(service=service)])
    assert bench.send(encode_packet(request(family, SYN)))[0] == SEND
    bench.dataplane.apply([PutService(service=replace(service, destinations=()))])


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("flags", "payload", "seq", "ack", "answer"),
    [
        (ACK, b"", 2000, 0, RST),
        (ACK | PSH, b"x" * 1000, 2000, 0, RST),
        (ACK | FIN, b"x", 2000, 0, RST),
        (PSH, b"x" * 7, 0, 1007, RST | ACK),
        (FIN, b"x" * 7, 0, 1008, RST | ACK),
    ],
)
def test_a_client_is_reset_as_if_by_its_peer(
    bench: PacketBench, method, family, flags, payload, seq, ack, answer
):
    cut_connection(bench, family, method)
    verdict, frame, reason = bench.send(encode_packet(request(family, flags, payload=payload, ttl=7)))
    assert (verdict, reason) == (ANSWER, Drop.REMOVED)
    decoded = decode_packet(frame)
    assert (decoded.destination_mac, decoded.source_mac) == (SOURCE_MAC, DESTINATION_MAC)
    assert decoded.packet == Packet(
        source=VIPS[family],
        source_port=80,
        destination=CLIENTS[family],
        destination_port=40_000,
        flags=answer,
        ttl=64,
    )
    assert decoded.ip_checksum_ok
    assert decoded.l4_checksum_ok
    assert decoded.padding == b""
    tcp = TCP.unpack_from(frame, ETHERNET.size + IP_HEADER[family])
    assert tcp[2:4] == (seq, ack)
    assert (tcp[4] >> 4, tcp[6], tcp[8]) == (5, 0, 0)


def test_ip_options_stay_in_front_of_the_reset(bench: PacketBench):
    cut_connection(bench, 4, ForwardingMethod.NAT)
    options = bytes([1] * 8)
    frame = encode_packet(request(4, ACK, payload=b"x" * 100), damage=replace(INTACT, options=options))
    verdict, after, reason = bench.send(frame)
    assert (verdict, reason) == (ANSWER, Drop.REMOVED)
    decoded = decode_packet(after)
    assert decoded.options == options
    assert decoded.packet.flags == RST
    assert decoded.ip_checksum_ok
    assert decoded.l4_checksum_ok


def test_tcp_options_are_left_out_of_the_reset(bench: PacketBench):
    cut_connection(bench, 4, ForwardingMethod.NAT)
    frame = encode_packet(request(4, ACK, payload=b"\1" * 20), damage=Damage(data_offset=10))
    verdict, after, _ = bench.send(frame)
    assert verdict == ANSWER
    assert len(after) == ETHERNET.size + 40
    assert decode_packet(after).l4_checksum_ok


def test_a_reset_is_answered_by_none(bench: PacketBench):
    cut_connection(bench, 4, ForwardingMethod.NAT)
    verdict, after, reason = bench.send(encode_packet(request(4, RST)))
    assert (verdict, reason) == (SEND, None)
    assert decode_packet(after).packet.destination == REALS[4]


def test_resets_are_not_rationed(bench: PacketBench):
    cut_connection(bench, 4, ForwardingMethod.NAT)
    frame = encode_packet(request(4, ACK))
    assert bench.send_many(frame, 200) == {SEND: 200}
