"""The dataplane in memory, over IPv6."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from shoal.dataplane.base import DataplaneState, Destination, Drop, PutService, Service
from shoal.dataplane.fake import FakeDataplane
from shoal.dataplane.packet import PASS, Packet, TcpFlags, drop, forward
from shoal.dataplane.plan import plan
from shoal.model import ForwardingMethod, Listener, Protocol

CLIENT, VIP, REAL = (IPv6Address(each) for each in ("2001:db8:c::7", "2001:db8::10", "2001:db8:1::21"))
WWW = Service(
    name="www",
    listeners=(Listener(address=VIP, port=80, protocol=Protocol.TCP),),
    scheduler="rr",
    method=ForwardingMethod.NAT,
    destinations=(Destination(address=REAL, port=8080, weight=1),),
)
SYN = Packet(
    source=CLIENT, source_port=40_000, destination=VIP, destination_port=80, flags=TcpFlags.SYN, ttl=64
)
IPV4 = replace(
    WWW,
    name="old",
    listeners=(Listener(address=IPv4Address("192.0.2.10"), port=80, protocol=Protocol.TCP),),
    destinations=(Destination(address=IPv4Address("10.0.1.21"), port=80, weight=1),),
)
IPV4_SYN = replace(SYN, source=IPv4Address("198.51.100.7"), destination=IPv4Address("192.0.2.10"))


def dataplane(*services: Service, limit: int = 16) -> FakeDataplane:
    made = FakeDataplane(max_connections=limit, max_connections_ipv6=limit)
    made.apply([PutService(service=each) for each in services])
    return made


def test_nat_rewrites_the_address_and_port_and_undoes_it_in_the_reply():
    www = dataplane(WWW)
    there = replace(SYN, destination=REAL, destination_port=8080, ttl=63)
    assert www.forward(SYN, now=0.0) == forward(there)
    answer = Packet(
        source=REAL,
        source_port=8080,
        destination=CLIENT,
        destination_port=40_000,
        flags=TcpFlags.SYN | TcpFlags.ACK,
    )
    assert www.forward(answer, now=0.0) == forward(replace(answer, source=VIP, source_port=80, ttl=63))


def test_direct_routing_lowers_only_the_hop_limit():
    www = dataplane(replace(WWW, method=ForwardingMethod.DR))
    assert www.forward(SYN, now=0.0) == forward(replace(SYN, ttl=63))


def test_a_hop_limit_of_one_ends_here():
    assert dataplane(WWW).forward(replace(SYN, ttl=1), now=0.0) == drop(Drop.TTL_EXCEEDED)


def test_an_ipv6_packet_is_not_an_ipv4_services():
    assert dataplane(IPV4).forward(SYN, now=0.0) == PASS


def test_a_full_table_of_one_family_leaves_the_other_its_room():
    both = dataplane(WWW, IPV4, limit=1)
    assert both.forward(SYN, now=0.0).packet is not None
    both.forward(replace(SYN, flags=TcpFlags.ACK), now=0.0)
    assert both.forward(replace(SYN, source_port=40_001), now=0.0).packet is not None
    assert both.counters().services["www"].stateless_packets == 1
    assert both.forward(IPV4_SYN, now=0.0).packet is not None
    counters = both.counters()
    assert (counters.connections_held, counters.connections_limit) == (1, 1)
    assert (counters.ipv6_connections_held, counters.ipv6_connections_limit) == (1, 1)
    assert (counters.held, counters.limit) == (2, 2)


def test_only_a_half_open_connection_of_its_own_family_gives_way():
    both = dataplane(WWW, IPV4, limit=1)
    both.forward(SYN, now=0.0)
    reply = replace(SYN, source=REAL, source_port=8080, destination=CLIENT, destination_port=40_000)
    both.forward(replace(reply, flags=TcpFlags.SYN | TcpFlags.ACK), now=0.0)
    both.forward(IPV4_SYN, now=0.0)
    both.forward(replace(SYN, source_port=40_001), now=0.0)
    held = {connection.client for connection in both.connections(limit=10)}
    assert (IPV4_SYN.source, 40_000) in held


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"payload": b"123"}, 63),
        ({"payload": b"123", "protocol": Protocol.UDP}, 51),
        ({"payload": b"12345678", "protocol": Protocol.UDP, "more_fragments": True}, 64),
        ({"payload": b"12345678", "fragment_offset": 8}, 56),
    ],
)
def test_the_length_counts_the_ipv6_header_and_that_of_a_fragment(fields: dict[str, object], length: int):
    assert replace(SYN, **fields).length == length


def test_a_plan_over_both_families_names_endpoints_with_brackets():
    heavier = replace(WWW, destinations=(replace(WWW.destinations[0], weight=3),))
    wanted = DataplaneState(services={"www": heavier, "old": IPV4})
    steps = plan(wanted, DataplaneState(services={"www": WWW}))
    assert [step.changes for step in steps if isinstance(step, PutService)] == [
        ("added listener 192.0.2.10:80/tcp", "added 10.0.1.21:80"),
        ("weight of [2001:db8:1::21]:8080 1 -> 3",),
    ]
