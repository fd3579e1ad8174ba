"""Forwarding method tunnel to the last byte: outer headers of either family around packets of either family."""

import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest

from shoal.dataplane.base import Destination, Drop, PutService, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import Encapsulation, ForwardingMethod, Listener, Protocol
from support.namespaces import run
from support.outer_headers import EPHEMERAL, OuterHeader, open_tunnel, read_outer
from support.packet_bench import ANSWER, DROP, NEIGHBOUR_MAC, SEND, PacketBench
from support.packets import INTACT, Damage, checksum, encode_packet

VIPS = {4: ip_address("192.0.2.10"), 6: ip_address("2001:db8::10")}
CLIENTS = {4: ip_address("198.51.100.7"), 6: ip_address("2001:db8:9::7")}
REALS = {4: ip_address("10.0.1.21"), 6: ip_address("2001:db8:1::21")}
ROUTER = {4: "192.168.255.1", 6: "2001:db8:255::1"}
FAMILIES = (4, 6)
KINDS = list(Encapsulation)


def packet(family: int, **fields: object) -> Packet:
    """A packet from the client to port 80 of the virtual address."""
    return replace(
        Packet(
            source=CLIENTS[family],
            source_port=40_000,
            destination=VIPS[family],
            destination_port=80,
            protocol=Protocol.UDP,
            payload=b"as it came",
        ),
        **fields,
    )


def serve(bench: PacketBench, outer: int, encap: Encapsulation, **fields: int) -> None:
    """TCP and UDP port 80 of both virtual addresses, through one tunnel."""
    service = Service(
        name="www",
        listeners=tuple(
            Listener(address=vip, port=80, protocol=protocol)
            for vip in VIPS.values()
            for protocol in Protocol
        ),
        scheduler="rr",
        method=ForwardingMethod.TUNNEL,
        destinations=(Destination(address=REALS[outer], port=80, weight=1, encap=encap, **fields),),
    )
    bench.dataplane.apply([PutService(service=service)])


def sent(bench: PacketBench, frame: bytes) -> tuple[OuterHeader, bytes]:
    """The outer header of what becomes of a frame, and the packet inside."""
    verdict, result, _ = bench.send(frame)
    assert verdict == SEND
    assert result[:6] == bytes.fromhex(NEIGHBOUR_MAC.replace(":", ""))
    assert result[6:12] == bench.interface.mac
    return read_outer(result), open_tunnel(result)[1][14:]


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("encap", KINDS)
def test_the_packet_travels_whole_between_the_routers_address_and_the_real_servers(
    bench: PacketBench, encap: Encapsulation, outer: int, inner: int
):
    serve(bench, outer, encap)
    for each in (packet(inner), packet(inner, protocol=Protocol.TCP, flags=TcpFlags.SYN, ttl=3)):
        header, inside = sent(bench, encode_packet(each))
        assert inside == encode_packet(replace(each, ttl=each.ttl - 1))[14:]
        assert (str(header.source), header.destination) == (ROUTER[outer], REALS[outer])
        assert (header.ttl, header.dont_fragment) == (64, True)


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize(
    "damage",
    [Damage(l4_checksum=0x0F0F), Damage(without_l4_checksum=True), Damage(options=b"\x01" * 8)],
    ids=["wrong-checksum", "no-checksum", "options"],
)
def test_nothing_inside_is_put_right(bench: PacketBench, inner: int, damage: Damage):
    damage = INTACT if inner == 6 and damage.options else damage
    serve(bench, 4, Encapsulation.IPIP)
    _, inside = sent(bench, encode_packet(packet(inner), damage=damage))
    assert inside == encode_packet(packet(inner, ttl=63), damage=damage)[14:]


@pytest.mark.parametrize("traffic_class", [0x01, 0x02, 0x03, 0xB8, 0xFF])
@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
def test_traffic_class_and_congestion_marks_are_outside_too(
    bench: PacketBench, outer: int, inner: int, traffic_class: int
):
    serve(bench, outer, Encapsulation.IPIP)
    header, inside = sent(bench, marked(encode_packet(packet(inner)), traffic_class))
    assert header.traffic_class == traffic_class
    assert inside == marked(encode_packet(packet(inner, ttl=63)), traffic_class)[14:]


def marked(frame: bytes, traffic_class: int) -> bytes:
    """The same frame with a traffic class, and a right checksum."""
    content = bytearray(frame)
    if frame[12:14] == b"\x86\xdd":
        first = int.from_bytes(frame[14:18], "big")
        content[14:18] = (first & ~(0xFF << 20) | traffic_class << 20).to_bytes(4, "big")
    else:
        content[15] = traffic_class
        content[24:26] = bytes(2)
        struct.pack_into("!H", content, 24, checksum(bytes(content[14:34])))
    return bytes(content)


@pytest.mark.parametrize("inner", FAMILIES)
def test_flows_differ_in_the_source_port_and_one_flow_never_does(bench: PacketBench, inner: int):
    serve(bench, 4, Encapsulation.GUE)
    flows = [packet(inner, source_port=40_000 + number) for number in range(64)]
    first = [sent(bench, encode_packet(each))[0].content[:2] for each in flows]
    again = [sent(bench, encode_packet(each))[0].content[:2] for each in flows]
    assert first == again
    assert len(set(first)) > 48
    assert all(int.from_bytes(each, "big") >= EPHEMERAL for each in first)


def test_flows_differ_in_the_outer_flow_label(bench: PacketBench):
    serve(bench, 6, Encapsulation.IPIP)
    flows = [packet(6, source_port=40_000 + number) for number in range(64)]
    assert len({sent(bench, encode_packet(each))[0].flow for each in flows}) > 48


def test_the_configured_port_is_that_of_the_outer_datagram(bench: PacketBench):
    serve(bench, 4, Encapsulation.GUE, encap_port=5555)
    header, _ = sent(bench, encode_packet(packet(4)))
    assert int.from_bytes(header.content[2:4], "big") == 5555


def test_the_outer_source_follows_the_routers_addresses(bench: PacketBench):
    serve(bench, 4, Encapsulation.IPIP)
    run(f"ip -n {bench.namespace} address add 192.168.254.9/32 dev out")
    run(f"ip -n {bench.namespace} route add 10.0.1.0/24 via 192.168.255.2 src 192.168.254.9")
    try:
        bench.dataplane.sweep()
        assert str(sent(bench, encode_packet(packet(4)))[0].source) == "192.168.254.9"
    finally:
        run(f"ip -n {bench.namespace} address del 192.168.254.9/32 dev out")
        run(f"ip -n {bench.namespace} route flush 10.0.1.0/24")


def test_without_a_route_the_packet_is_dropped_and_with_one_it_goes(bench: PacketBench):
    run(f"ip -n {bench.namespace} route del default via 192.168.255.2")
    try:
        serve(bench, 4, Encapsulation.IPIP)
        assert bench.send(encode_packet(packet(6)))[::2] == (DROP, Drop.NO_ROUTE)
    finally:
        run(f"ip -n {bench.namespace} route add default via 192.168.255.2")
    bench.dataplane.sweep()
    assert sent(bench, encode_packet(packet(6)))[0].destination == REALS[4]


def test_a_change_of_encapsulation_changes_at_once_what_fits(bench: PacketBench):
    serve(bench, 4, Encapsulation.IPIP)
    just_fits = encode_packet(packet(4, payload=bytes(1480 - 28)))
    assert bench.send(just_fits)[0] == SEND
    serve(bench, 4, Encapsulation.GRE)
    assert bench.send(just_fits)[::2] == (ANSWER, Drop.PACKET_TOO_BIG)
    serve(bench, 4, Encapsulation.IPIP)
    assert bench.send(just_fits)[0] == SEND
