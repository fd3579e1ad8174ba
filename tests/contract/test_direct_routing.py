"""Forwarding method dr: packets leave as they came but for the TTL, and replies are never seen."""

from dataclasses import replace

import pytest

from shoal.dataplane.base import DataplaneState, Drop
from shoal.dataplane.packet import Action, Packet, Verdict, drop
from shoal.dataplane.plan import plan
from shoal.model import ForwardingMethod
from support.flows import ACK, DNS, FIN, HTTP, HTTPS, NONE, RST, SYN, ContractLab, real, service

NAT, DR = ForwardingMethod.NAT, ForwardingMethod.DR
PASS = Verdict(action=Action.PASS)
ONE = service(real(21, port=80), method=DR)
NAMES = service(real(21, port=53), listeners=(DNS,), method=DR)


def as_it_came(packet: Packet) -> Verdict:
    """The verdict that sends a packet on as it is, one hop older."""
    return Verdict(action=Action.FORWARD, packet=replace(packet, ttl=packet.ttl - 1))


def test_a_request_leaves_as_it_came_but_for_its_ttl(lab: ContractLab):
    lab.put(ONE)
    packet = lab.flow().request(SYN, ttl=57)
    assert lab.send(packet) == as_it_came(packet)


@pytest.mark.parametrize("payload", [b"", b"x", b"\xff" * 1000, bytes(range(256)) * 5])
def test_udp_leaves_as_it_came_whatever_it_carries(lab: ContractLab, payload: bytes):
    lab.put(NAMES)
    packet = lab.flow(listener=DNS).request(payload=payload)
    assert lab.send(packet) == as_it_came(packet)


def test_requests_are_counted_with_the_real_server_that_got_them(lab: ContractLab):
    lab.put(ONE)
    packet = lab.flow().request(SYN, payload=b"12345")
    lab.send(packet)
    counted = lab.counted(real(21, port=80))
    assert (counted.connections, counted.active, counted.inactive) == (1, 1, 0)
    assert (counted.packets_in, counted.bytes_in, counted.packets_out) == (1, packet.length, 0)


def test_the_connection_names_the_real_server(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    found = flow.connection()
    assert found is not None
    assert found.real == real(21, port=80).endpoint


@pytest.mark.parametrize(
    ("flags", "states"),
    [
        ((SYN, ACK), ["syn_recv", "established"]),
        ((SYN, ACK, FIN | ACK), ["syn_recv", "established", "fin_wait"]),
        ((SYN, ACK, FIN | ACK, ACK), ["syn_recv", "established", "fin_wait", "fin_wait"]),
        ((SYN, FIN | ACK), ["syn_recv", "time_wait"]),
        ((SYN, ACK, RST), ["syn_recv", "established", "close"]),
        ((SYN, RST), ["syn_recv", "syn_recv"]),
    ],
    ids=["open", "close", "close-acked", "close-at-once", "reset", "reset-at-once"],
)
def test_the_states_follow_what_the_client_alone_says(lab: ContractLab, flags, states):
    """The rows INPUT_ONLY of the state machine: the client's FIN is all that is seen of a close."""
    lab.put(ONE)
    flow = lab.flow()
    seen = []
    for each in flags:
        flow.send(each)
        seen.append(flow.state)
    assert seen == states


def test_what_the_real_servers_own_address_sends_is_no_reply(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    flow.send(ACK)
    before = flow.connection()
    for flags in (SYN | ACK, ACK, FIN | ACK, RST):
        assert lab.send(flow.reply(real(21, port=80).endpoint, flags)) == PASS
    after = flow.connection()
    assert before is not None
    assert after is not None
    assert after.state == before.state


def test_one_client_port_may_talk_to_two_listeners_of_one_real_server(lab: ContractLab):
    lab.put(
        service(real(21, port=80), listeners=(HTTP, HTTPS), method=DR),
        service(real(21, port=80), listeners=(DNS,), method=DR, name="dns"),
    )
    for listener in (HTTP, HTTPS):
        packet = lab.flow(listener=listener).request(SYN)
        assert lab.send(packet) == as_it_came(packet)
    assert lab.drops() == {}


def test_a_virtual_server_may_mix_methods(lab: ContractLab):
    by_nat, by_dr = real(21, port=80), real(22, port=80, method=DR)
    lab.put(service(by_nat, by_dr))
    first, second = lab.flow(1), lab.flow(2)
    assert first.established() == by_nat.endpoint
    packet = second.request(SYN)
    assert lab.send(packet) == as_it_came(packet)
    assert lab.installed().services["www"].destinations == (by_nat, by_dr)


def test_what_is_installed_is_read_back_with_its_methods(lab: ContractLab):
    wanted = service(
        real(21, port=80), real(22, port=80, method=NAT), real(23, port=80, method=DR), method=DR
    )
    lab.put(wanted)
    state = DataplaneState(services={"www": wanted})
    assert plan(state, lab.installed()) == ()
    installed = lab.installed().services["www"]
    assert installed.method is DR
    assert [installed.method_of(each) for each in installed.destinations] == [DR, NAT, DR]


def test_a_connection_keeps_the_method_with_which_it_began(lab: ContractLab):
    lab.put(service(real(21, port=80)))
    old, new = lab.flow(1), lab.flow(2)
    server = old.established()
    lab.put(ONE)
    packet = new.request(SYN)
    assert lab.send(packet) == as_it_came(packet)
    assert old.reached(ACK) == server
    old.answered(server, ACK)
    lab.put(service(real(21, port=80)))
    packet = new.request(ACK)
    assert lab.send(packet) == as_it_came(packet)


def test_a_packet_at_the_end_of_its_life_is_dropped(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    assert lab.send(flow.request(ACK, ttl=1)) == drop(Drop.TTL_EXCEEDED)
    assert lab.drops() == {Drop.TTL_EXCEEDED: 1}


def test_a_flow_leaves_a_real_server_that_is_down(lab: ContractLab):
    lab.put(service(real(21, port=53), real(22, port=53), listeners=(DNS,), method=DR))
    flow = lab.flow(listener=DNS)
    flow.send(NONE)
    lab.put(service(real(21, port=53, available=False), real(22, port=53), listeners=(DNS,), method=DR))
    flow.send(NONE)
    found = flow.connection()
    assert found is not None
    assert found.real == real(22, port=53).endpoint
