"""Fragments go where the first of their datagram went, in whatever order they come (RFC 791, RFC 8200 4.5)."""

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import permutations

import pytest

from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Action, Packet, Verdict, forward
from shoal.model import ForwardingMethod, Protocol
from support.flows import CLIENT, DNS, HTTP, NONE, SYN, VIP, ContractLab, Flow, real, service

PASS = Verdict(action=Action.PASS)
HOLD = Verdict(action=Action.HOLD)
ONE = service(real(21, port=5353), listeners=(DNS,))
SERVER = real(21).address
PARTS = 3
SIZE = 64


def parts(whole: Packet, identification: int = 7, *, number: int = PARTS) -> list[Packet]:
    """A datagram in fragments; the first carries the ports, 8 bytes of UDP header and the rest of SIZE."""
    first = replace(whole, payload=bytes(SIZE - 8), more_fragments=True, identification=identification)
    later = replace(first, source_port=0, destination_port=0, payload=bytes(SIZE))
    return [
        first,
        *(
            replace(later, fragment_offset=SIZE * place, more_fragments=place < number - 1)
            for place in range(1, number)
        ),
    ]


def to_server(packet: Packet, address: IPv4Address = SERVER, port: int = 5353) -> Packet:
    """A client's fragment as the real server gets it."""
    port = 0 if packet.fragment_offset else port
    return replace(packet, destination=address, destination_port=port, ttl=packet.ttl - 1)


def to_client(packet: Packet) -> Packet:
    """A real server's fragment as the client gets it."""
    port = 0 if packet.fragment_offset else 53
    return replace(packet, source=VIP, source_port=port, ttl=packet.ttl - 1)


def asked(lab: ContractLab) -> Flow:
    """A flow that the service knows."""
    lab.put(ONE)
    flow = lab.flow(listener=DNS)
    flow.reached()
    return flow


def outcomes(lab: ContractLab, packets: list[Packet]) -> list[Packet]:
    """All that is forwarded, at once or after waiting, by its place in the datagram."""
    sent = [lab.send(packet) for packet in packets]
    assert {verdict.action for verdict in sent} <= {Action.FORWARD, Action.HOLD}, sent
    found = [verdict.packet for verdict in (*sent, *lab.released()) if verdict.packet is not None]
    return sorted(found, key=lambda packet: packet.fragment_offset)


def test_a_datagram_in_fragments_opens_a_connection_and_arrives_whole(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow(listener=DNS)
    for packet in parts(flow.request()):
        assert lab.send(packet) == forward(to_server(packet))
    assert flow.state == "udp"
    assert lab.totals().connections == 1
    counted = lab.counted(real(21, port=5353))
    assert counted.packets_in == PARTS
    assert lab.drops() == {}


def test_a_reply_in_fragments_arrives_in_the_virtual_name(lab: ContractLab):
    flow = asked(lab)
    for packet in parts(flow.reply(real(21, port=5353).endpoint)):
        assert lab.send(packet) == forward(to_client(packet))


@pytest.mark.parametrize("order", list(permutations(range(PARTS))), ids=str)
def test_fragments_may_come_in_any_order(lab: ContractLab, order: tuple[int, ...]):
    lab.put(ONE)
    packets = parts(lab.flow(listener=DNS).request())
    assert outcomes(lab, [packets[place] for place in order]) == [to_server(each) for each in packets]
    assert lab.drops() == {}
    assert lab.dataplane.counters().drops == {}


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2)], ids=str)
def test_fragments_of_replies_may_come_in_any_order(lab: ContractLab, order: tuple[int, ...]):
    packets = parts(asked(lab).reply(real(21, port=5353).endpoint))
    assert outcomes(lab, [packets[place] for place in order]) == [to_client(each) for each in packets]


def test_sixty_fragments_in_reverse_order_all_arrive(lab: ContractLab):
    lab.put(ONE)
    packets = parts(lab.flow(listener=DNS).request(), number=60)
    assert outcomes(lab, packets[::-1]) == [to_server(each) for each in packets]


def test_a_fragment_before_its_first_waits(lab: ContractLab):
    lab.put(ONE)
    _, second, third = parts(lab.flow(listener=DNS).request())
    assert lab.send(third) == HOLD
    assert lab.send(second) == HOLD
    assert lab.released() == []
    assert lab.dataplane.counters().drops == {}


def test_a_fragment_whose_first_does_not_come_is_dropped_by_name_after_a_second(lab: ContractLab):
    lab.put(ONE)
    first, second, third = parts(lab.flow(listener=DNS).request())
    assert lab.send(second) == HOLD
    lab.advance(0.5)
    assert lab.send(third) == HOLD
    lab.advance(0.75)
    lab.dataplane.sweep()
    assert lab.dataplane.counters().drops == {Drop.FRAGMENT_WITHOUT_FIRST: 1}
    assert outcomes(lab, [first]) == [to_server(first), to_server(third)]


def test_a_first_fragment_that_comes_too_late_finds_nobody_waiting(lab: ContractLab):
    lab.put(ONE)
    first, second, _ = parts(lab.flow(listener=DNS).request())
    assert lab.send(second) == HOLD
    lab.advance(1.5)
    assert outcomes(lab, [first]) == [to_server(first)]
    assert lab.dataplane.counters().drops == {Drop.FRAGMENT_WITHOUT_FIRST: 1}


def test_a_datagram_is_remembered_for_two_seconds_after_its_last_fragment(lab: ContractLab):
    lab.put(ONE)
    first, second, third = parts(lab.flow(listener=DNS).request())
    assert lab.send(first).action is Action.FORWARD
    lab.advance(1.5)
    assert lab.send(second) == forward(to_server(second))
    lab.advance(1.5)
    assert lab.send(third) == forward(to_server(third))
    lab.advance(2.5)
    assert lab.send(third) == HOLD


def test_datagrams_of_one_flow_are_told_apart_by_their_identification(lab: ContractLab):
    lab.put(service(real(21, port=5353), real(22, port=5353), listeners=(DNS,)))
    one, other = lab.flow(1, DNS), lab.flow(2, DNS)
    first = parts(one.request(), 100)
    second = parts(other.request(), 101)
    assert lab.send(second[1]) == HOLD
    for packet in first:
        assert lab.send(packet) == forward(to_server(packet))
    assert lab.released() == []
    expected = [to_server(each, real(22).address) for each in second[:2]]
    assert outcomes(lab, [second[0]]) == expected


def test_direct_routing_sends_fragments_on_as_they_are(lab: ContractLab):
    lab.put(service(real(21, port=53), listeners=(DNS,), method=ForwardingMethod.DR))
    packets = parts(lab.flow(listener=DNS).request())
    expected = [replace(packet, ttl=63) for packet in packets]
    assert outcomes(lab, [packets[1], packets[0], packets[2]]) == expected


def test_tcp_may_be_fragmented_too(lab: ContractLab):
    lab.put(service(real(21), listeners=(HTTP,)))
    flow = lab.flow()
    flow.established()
    first = replace(flow.request(NONE, payload=bytes(SIZE - 20)), more_fragments=True, identification=9)
    later = replace(
        first, source_port=0, destination_port=0, payload=bytes(8), fragment_offset=SIZE, more_fragments=False
    )
    expected = [to_server(first, port=8080), to_server(later)]
    assert outcomes(lab, [later, first]) == expected
    assert flow.state == "established"


def test_fragments_that_are_the_hosts_are_passed_on_to_it_when_their_first_has_come(lab: ContractLab):
    lab.put(ONE)
    first, second, third = parts(replace(lab.flow(listener=DNS).request(), destination_port=54))
    assert lab.send(third) == HOLD
    assert lab.send(first) == PASS
    assert lab.released() == [PASS]
    assert lab.send(second) == PASS


def test_fragments_of_others_are_passed_at_once(lab: ContractLab):
    lab.put(ONE)
    elsewhere = replace(lab.flow(listener=DNS).request(), destination=IPv4Address("192.0.2.99"))
    for packet in reversed(parts(elsewhere)):
        assert lab.send(packet) == PASS


def test_fragments_of_what_is_neither_tcp_nor_udp_are_passed_at_once(lab: ContractLab):
    lab.put(ONE)
    ping = Packet(source=CLIENT, destination=VIP, protocol=None, payload=bytes(SIZE))
    assert lab.send(replace(ping, fragment_offset=SIZE, identification=7)) == PASS


def test_a_payload_of_a_later_fragment_is_not_taken_for_ports(lab: ContractLab):
    flow = asked(lab)
    ports = flow.port.to_bytes(2, "big") + (53).to_bytes(2, "big") + b"\0" * 12
    packet = Packet(
        source=CLIENT,
        destination=VIP,
        protocol=Protocol.UDP,
        fragment_offset=8,
        payload=ports,
        more_fragments=True,
        identification=3,
    )
    assert lab.send(packet) == HOLD


def test_a_fragment_of_a_connection_that_has_ended_is_the_hosts(lab: ContractLab):
    lab.put(service(real(21), listeners=(HTTP,)))
    flow = lab.flow()
    first = replace(flow.request(NONE, payload=bytes(SIZE - 20)), more_fragments=True, identification=9)
    assert lab.send(first) == PASS
    later = replace(first, source_port=0, destination_port=0, payload=bytes(8), fragment_offset=SIZE)
    assert lab.send(later) == PASS
    assert flow.send(SYN).action is Action.FORWARD
