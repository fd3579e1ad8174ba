"""Connections: states, timeouts, and who is asked anew."""

from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Action, Verdict, drop
from support.flows import ACK, DNS, FIN, HTTP, HTTPS, NONE, RST, SYN, VIP, ContractLab, real, service

TWO = service(real(21), real(22), listeners=(HTTP, HTTPS, DNS))
ONE_LEFT = service(real(21, available=False), real(22), listeners=(HTTP, HTTPS, DNS))


def test_all_packets_of_a_connection_go_to_one_real_server(lab: ContractLab):
    lab.put(TWO)
    flows = [lab.flow(number) for number in range(6)]
    servers = [flow.established() for flow in flows]
    for _ in range(3):
        assert [flow.reached(ACK) for flow in flows] == servers


def test_the_connections_of_one_service_are_told_by_real_server(lab: ContractLab):
    lab.put(TWO)
    assert lab.dataplane.flows(TWO.name) == {real(21).endpoint: 0, real(22).endpoint: 0}
    for number in range(3):
        lab.flow(number).established()
    lab.flow(3).reached(SYN)
    counted = lab.dataplane.counters().services[TWO.name].destinations
    told = {endpoint: each.active + each.inactive for endpoint, each in counted.items()}
    assert lab.dataplane.flows(TWO.name) == told
    assert sum(told.values()) == 4
    assert lab.dataplane.flows("nobody") == {}


def test_a_repeated_syn_stays_where_the_first_went(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    assert [flow.reached(SYN) for _ in range(3)] == [real(21).endpoint] * 3
    assert lab.totals().connections == 1


def test_ports_and_addresses_of_clients_are_kept_apart(lab: ContractLab):
    lab.put(TWO)
    other = IPv4Address("198.51.100.8")
    assert lab.flow(1).established() == real(21).endpoint
    assert lab.flow(2).established() == real(22).endpoint
    assert lab.flow(1, client=other).established() == real(21).endpoint
    assert lab.flow(2).reached(ACK) == real(22).endpoint


def test_tcp_and_udp_of_the_same_ports_are_kept_apart(lab: ContractLab):
    tcp_dns = service(real(21), listeners=(DNS,), name="udp")
    lab.put(service(real(22)), tcp_dns)
    assert lab.flow(1).established() == real(22).endpoint
    assert lab.flow(1, DNS).reached() == real(21).endpoint
    assert lab.flow(1).reached(ACK) == real(22).endpoint


@pytest.mark.parametrize(
    ("packets", "states"),
    [
        (
            "c:S s:SA c:A c:FA s:A s:FA c:A",
            "syn_recv syn_recv established close_wait close_wait time_wait time_wait",
        ),
        (
            "c:S s:SA c:A s:FA c:A c:FA s:A",
            "syn_recv syn_recv established fin_wait fin_wait time_wait time_wait",
        ),
        ("c:S s:SA c:A c:R", "syn_recv syn_recv established close"),
        ("c:S s:SA c:A s:R", "syn_recv syn_recv established close"),
        ("c:S s:SA c:A s:RA c:FA", "syn_recv syn_recv established close close"),
        ("c:S c:S", "syn_recv syn_recv"),
        ("c:S s:RA", "syn_recv close"),
        ("c:S c:R", "syn_recv syn_recv"),
        ("c:S c:A", "syn_recv established"),
        ("c:S s:A", "syn_recv established"),
        ("c:S s:SA c:A c:S", "syn_recv syn_recv established established"),
        ("c:S c:FA", "syn_recv time_wait"),
        ("c:S c:A c:FA c:S", "syn_recv established close_wait syn_recv"),
        ("c:S c:A c:- s:-", "syn_recv established established established"),
        ("c:S c:A c:FA c:RA", "syn_recv established close_wait close"),
        ("c:S c:A s:FA s:A c:SFRA", "syn_recv established fin_wait fin_wait close"),
    ],
)
def test_the_states_are_those_of_ipvs(lab: ContractLab, packets: str, states: str):
    lab.put(TWO)
    flow = lab.flow()
    letters = {"S": SYN, "A": ACK, "F": FIN, "R": RST, "-": NONE}
    seen, server = [], real(21).endpoint
    for packet in packets.split():
        flags = NONE
        for letter in packet[2:]:
            flags |= letters[letter]
        if packet[0] == "c":
            assert flow.reached(flags) == server
        else:
            flow.answered(server, flags)
        seen.append(flow.state)
    assert seen == states.split()


@pytest.mark.parametrize(
    ("state", "timeout"),
    [
        ("syn_recv", 60),
        ("established", 900),
        ("fin_wait", 120),
        ("close_wait", 60),
        ("time_wait", 120),
        ("close", 10),
        ("udp", 300),
    ],
)
def test_each_state_has_its_timeout(lab: ContractLab, state: str, timeout: int):
    lab.put(TWO)
    flow = lab.flow(listener=DNS if state == "udp" else HTTP)
    server = flow.reached(NONE if state == "udp" else SYN)
    if state not in ("udp", "syn_recv"):
        flow.reached(ACK)
    if state == "fin_wait":
        flow.answered(server, FIN | ACK)
    if state in ("close_wait", "time_wait"):
        flow.reached(FIN | ACK)
    if state == "time_wait":
        flow.answered(server, FIN | ACK)
    if state == "close":
        flow.reached(RST)
    assert flow.state == state
    lab.advance(timeout - 1)
    assert flow.state == state
    lab.advance(2)
    assert flow.state == ""


def test_a_packet_begins_the_timeout_anew(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    server = flow.established()
    lab.advance(899)
    flow.reached(ACK)
    lab.advance(899)
    flow.answered(server, ACK)
    lab.advance(899)
    assert flow.state == "established"


def test_the_time_left_is_told(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    flow.established()
    lab.advance(100)
    found = flow.connection()
    assert found is not None
    assert found.expires_in == pytest.approx(800, abs=1)
    assert found.real == real(21).endpoint
    assert found.virtual == (VIP, 80)
    assert found.virtual_server == "www"


def test_an_expired_connection_is_dead_before_any_sweep(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    server = flow.established()
    lab.advance(901)
    assert flow.send(ACK) == Verdict(action=Action.PASS)
    assert lab.send(flow.reply(server, ACK)) == Verdict(action=Action.PASS)


def test_a_sweep_removes_what_has_expired_and_nothing_else(lab: ContractLab):
    lab.put(TWO)
    old = [lab.flow(number) for number in range(3)]
    for flow in old:
        flow.established()
    lab.advance(500)
    young = lab.flow(10)
    server = young.established()
    lab.advance(401)
    assert lab.dataplane.sweep() == 3
    assert lab.dataplane.counters().connections_held == 1
    assert young.reached(ACK) == server
    assert lab.dataplane.sweep() == 0


def test_a_client_port_used_again_after_the_close_is_scheduled_anew(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    assert flow.closed() == real(21).endpoint
    assert flow.state == "time_wait"
    assert flow.reached(SYN) == real(22).endpoint
    assert flow.state == "syn_recv"
    assert lab.totals().connections == 2
    assert lab.gauges(real(21)) == (0, 0)
    assert lab.gauges(real(22)) == (1, 0)


def test_a_client_port_used_again_after_a_reset_is_scheduled_anew(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    server = flow.established()
    flow.answered(server, RST)
    assert flow.reached(SYN) == real(22).endpoint


def test_late_packets_of_a_closed_connection_stay_on_its_real_server(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    server = flow.closed()
    assert flow.reached(ACK) == server
    assert flow.reached(FIN | ACK) == server


def test_an_unanswered_syn_is_scheduled_anew_when_its_real_server_goes_down(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    assert flow.reached(SYN) == real(21).endpoint
    lab.put(ONE_LEFT)
    assert flow.reached(SYN) == real(22).endpoint
    assert lab.gauges(real(21)) == (0, 0)


def test_an_established_connection_stays_when_its_real_server_goes_down(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow()
    server = flow.established()
    lab.put(ONE_LEFT)
    assert flow.reached(ACK) == server
    assert flow.reached(SYN) == server
    assert flow.state == "established"


def test_a_udp_flow_is_scheduled_anew_when_its_real_server_goes_down(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(listener=DNS)
    assert flow.reached() == real(21).endpoint
    lab.put(ONE_LEFT)
    assert flow.reached() == real(22).endpoint


def test_a_udp_flow_stays_on_a_quiesced_real_server(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(listener=DNS)
    assert flow.reached() == real(21).endpoint
    lab.put(service(real(21, weight=0), real(22), listeners=(HTTP, DNS)))
    assert flow.reached() == real(21).endpoint


def test_a_udp_flow_with_nowhere_to_go_is_dropped(lab: ContractLab):
    lab.put(service(real(21), listeners=(DNS,)))
    flow = lab.flow(listener=DNS)
    flow.reached()
    lab.put(service(real(21, available=False), listeners=(DNS,)))
    assert flow.send() == drop(Drop.NO_REAL_SERVER)


def test_two_connections_that_a_reply_could_not_tell_apart_are_not_made(lab: ContractLab):
    lab.put(service(real(21), listeners=(HTTP, HTTPS)))
    first, second = lab.flow(1, HTTP), lab.flow(1, HTTPS)
    server = first.established()
    assert second.send(SYN) == drop(Drop.REPLY_TUPLE_IN_USE)
    assert lab.drops() == {Drop.REPLY_TUPLE_IN_USE: 1}
    assert second.state == ""
    first.answered(server, ACK)


def test_one_client_port_may_have_two_connections_to_different_real_servers(lab: ContractLab):
    lab.put(service(real(21), listeners=(HTTP,)), service(real(22), listeners=(HTTPS,), name="tls"))
    first, second = lab.flow(1, HTTP), lab.flow(1, HTTPS)
    assert (first.established(), second.established()) == (real(21).endpoint, real(22).endpoint)
    first.answered(real(21).endpoint, ACK)
    second.answered(real(22).endpoint, ACK)


def test_a_full_table_refuses_new_connections_and_keeps_the_established(lab: ContractLab):
    lab.put(TWO)
    established = []
    for number in range(20_000):
        flow = lab.flow(number)
        verdict = flow.send(SYN)
        if verdict.action is Action.DROP:
            assert verdict == drop(Drop.TABLE_FULL)
            break
        assert verdict.packet is not None
        flow.reached(ACK)
        established.append((flow, (verdict.packet.destination, verdict.packet.destination_port)))
    assert lab.drops() == {Drop.TABLE_FULL: 1}
    assert lab.dataplane.counters().connections_limit >= len(established) > 0
    for flow, server in established:
        assert flow.reached(ACK) == server


def test_half_open_connections_give_way_to_new_ones_in_a_full_table(lab: ContractLab):
    lab.put(TWO)
    limit = lab.dataplane.counters().connections_limit
    for number in range(2 * limit):
        assert lab.flow(number).send(SYN).action is Action.FORWARD
    assert lab.dataplane.counters().connections_held <= limit
    assert lab.drops() == {}
    last = lab.flow(2 * limit - 1)
    assert last.state == "syn_recv"
