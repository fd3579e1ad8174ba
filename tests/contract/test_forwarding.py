"""What every dataplane does with single packets."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Action, Verdict, drop
from shoal.model import Protocol
from support.flows import ACK, DNS, FIN, HTTP, HTTPS, RST, SYN, VIP, ContractLab, real, service

PASS = Verdict(action=Action.PASS)
ONE = service(real(21), listeners=(HTTP, HTTPS, DNS))
ELSEWHERE = IPv4Address("192.0.2.99")


def test_a_request_goes_to_the_real_server_with_nothing_else_changed(lab: ContractLab):
    lab.put(ONE)
    packet = lab.flow().request(SYN, ttl=57)
    expected = replace(packet, destination=real(21).address, destination_port=8080, ttl=56)
    assert lab.send(packet) == Verdict(action=Action.FORWARD, packet=expected)


def test_a_reply_comes_back_in_the_name_of_the_virtual_address(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    server = flow.reached(SYN)
    packet = flow.reply(server, SYN | ACK, ttl=33)
    expected = replace(packet, source=VIP, source_port=80, ttl=32)
    assert lab.send(packet) == Verdict(action=Action.FORWARD, packet=expected)


@pytest.mark.parametrize("payload", [b"", b"x", b"odd", b"\xff" * 1000, bytes(range(256)) * 5])
def test_payloads_arrive_as_they_were_sent(lab: ContractLab, payload: bytes):
    lab.put(ONE)
    for flow in (lab.flow(), lab.flow(listener=DNS)):
        server = flow.reached(SYN)
        packet = flow.request(ACK if flow.listener is HTTP else SYN & 0, payload=payload)
        verdict = lab.send(packet)
        assert verdict.packet is not None
        assert verdict.packet.payload == payload
        flow.answered(server, payload=payload)


def test_udp_goes_both_ways(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow(listener=DNS)
    server = flow.reached(payload=b"question")
    assert server == real(21).endpoint
    flow.answered(server, payload=b"answer")


def test_the_port_may_stay_the_same(lab: ContractLab):
    lab.put(service(real(21, port=80)))
    flow = lab.flow()
    server = flow.established()
    assert server == (real(21).address, 80)


def test_each_listener_of_a_service_reaches_its_real_servers(lab: ContractLab):
    lab.put(ONE)
    assert lab.flow(1, HTTP).established() == real(21).endpoint
    assert lab.flow(2, HTTPS).established() == real(21).endpoint


@pytest.mark.parametrize(
    "fields",
    [
        {"destination": ELSEWHERE},
        {"destination_port": 81},
        {"protocol": Protocol.UDP},
        {"protocol": None, "source_port": 0, "destination_port": 0},
    ],
    ids=["address", "port", "udp", "ping"],
)
def test_what_no_listener_asks_for_is_passed_untouched(lab: ContractLab, fields):
    lab.put(service(real(21)))
    flags = SYN if fields.get("protocol", Protocol.TCP) is Protocol.TCP else SYN & 0
    packet = replace(lab.flow().request(), flags=flags, **fields)
    assert lab.send(packet) == PASS


@pytest.mark.parametrize("flags", [ACK, SYN | ACK, RST, FIN | ACK, SYN | RST, SYN | FIN, SYN & 0])
def test_only_a_plain_syn_opens_a_tcp_connection(lab: ContractLab, flags):
    lab.put(ONE)
    assert lab.flow().send(flags) == PASS
    assert lab.flow().state == ""
    assert lab.totals().connections == 0


def test_a_packet_from_a_real_server_without_a_connection_is_passed(lab: ContractLab):
    lab.put(ONE)
    assert lab.send(lab.flow().reply(real(21).endpoint, SYN | ACK)) == PASS


def test_a_reply_from_another_port_of_the_real_server_is_passed(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.established()
    assert lab.send(flow.reply((real(21).address, 9999), ACK)) == PASS


def test_without_services_everything_is_passed(lab: ContractLab):
    assert lab.flow().send(SYN) == PASS


def test_a_service_without_a_candidate_drops_and_counts(lab: ContractLab):
    lab.put(service(real(21, weight=0), real(22, available=False)))
    assert lab.flow().send(SYN) == drop(Drop.NO_REAL_SERVER)
    assert lab.drops() == {Drop.NO_REAL_SERVER: 1}
    assert lab.totals().connections == 0
    assert lab.flow().state == ""


def test_a_service_without_destinations_drops(lab: ContractLab):
    lab.put(service(listeners=(HTTP, DNS)))
    assert lab.flow().send(SYN) == drop(Drop.NO_REAL_SERVER)
    assert lab.flow(listener=DNS).send() == drop(Drop.NO_REAL_SERVER)
    assert lab.drops() == {Drop.NO_REAL_SERVER: 2}


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_request_at_the_end_of_its_life_is_dropped(lab: ContractLab, ttl):
    lab.put(ONE)
    flow = lab.flow()
    flow.established()
    assert lab.send(flow.request(ACK, ttl=ttl)) == drop(Drop.TTL_EXCEEDED)
    assert lab.drops() == {Drop.TTL_EXCEEDED: 1}


def test_a_syn_at_the_end_of_its_life_opens_nothing(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    assert lab.send(flow.request(SYN, ttl=1)) == drop(Drop.TTL_EXCEEDED)
    assert flow.state == ""


def test_a_reply_at_the_end_of_its_life_is_dropped(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    server = flow.established()
    assert lab.send(flow.reply(server, ACK, ttl=1)) == drop(Drop.TTL_EXCEEDED)
    assert lab.drops() == {Drop.TTL_EXCEEDED: 1}


def test_the_host_answers_what_is_not_ours_at_any_ttl(lab: ContractLab):
    lab.put(ONE)
    assert lab.send(lab.flow().request(ACK, ttl=1)) == PASS
