"""Without an entry in the table: one-packet scheduling, sloppy beginnings, and a table that is full."""

from collections import Counter
from dataclasses import replace

import pytest

from shoal.dataplane.base import Drop, SetTimeouts
from shoal.dataplane.packet import Action, Verdict, drop
from shoal.model import ConnectionState, ForwardingMethod
from shoal.model.states import TIMEOUTS
from support.flows import ACK, DNS, FIN, HTTP, RST, SYN, ContractLab, Flow, real, service

TWO = service(real(21), real(22), listeners=(HTTP, DNS))
UDP_ONLY = replace(service(real(21), real(22), listeners=(DNS,)), one_packet=True)
PASSED = Verdict(action=Action.PASS)


def fill(lab: ContractLab) -> int:
    """Establish connections until one finds no place; how many there are."""
    for number in range(20_000):
        flow = lab.flow(number)
        assert flow.send(SYN).action is Action.FORWARD
        if lab.dataplane.counters().stateless_packets:
            return number
        flow.reached(ACK)
    raise AssertionError("the table never filled up")


# -- one packet


def test_datagrams_are_scheduled_one_by_one(lab: ContractLab):
    lab.put(UDP_ONLY)
    flow = lab.flow(1, DNS)
    reached = Counter(flow.reached() for _ in range(6))
    assert reached == {real(21).endpoint: 3, real(22).endpoint: 3}
    assert flow.state == ""
    assert lab.gauges(real(21)) == (0, 0)
    assert lab.totals().connections == 6


def test_replies_to_single_datagrams_come_from_the_listener(lab: ContractLab):
    lab.put(UDP_ONLY)
    flow = lab.flow(1, DNS)
    server = flow.reached(payload=b"question")
    flow.answered(server, payload=b"answer")
    assert lab.counted(real(21)).packets_out == 1


def test_nothing_is_rewritten_for_real_servers_of_others(lab: ContractLab):
    lab.put(TWO)
    assert lab.send(lab.flow(1, DNS).reply(real(21).endpoint)) == PASSED
    lab.put(UDP_ONLY)
    assert lab.send(lab.flow(1, DNS).reply((real(21).address, 4000))) == PASSED
    assert lab.send(lab.flow(1, HTTP).reply(real(21).endpoint, SYN | ACK)) == PASSED


def test_one_packet_scheduling_is_read_back(lab: ContractLab):
    lab.put(UDP_ONLY, replace(service(real(23), name="tcp"), sloppy=True))
    services = lab.installed().services
    assert services["www"] == UDP_ONLY
    assert (services["tcp"].one_packet, services["tcp"].sloppy) == (False, True)


# -- sloppy


@pytest.mark.parametrize(("flags", "state"), [(ACK, "established"), (FIN | ACK, "close")])
def test_a_packet_from_amid_a_connection_begins_one_where_that_is_wanted(lab: ContractLab, flags, state):
    lab.put(replace(TWO, sloppy=True))
    flow = lab.flow(1)
    server = flow.reached(flags)
    assert flow.state == state
    assert flow.reached(ACK) == server
    flow.answered(server, ACK)


@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN | ACK])
def test_neither_a_reset_nor_an_answer_begins_a_connection(lab: ContractLab, flags):
    lab.put(replace(TWO, sloppy=True))
    assert lab.flow(1).send(flags) == PASSED
    assert lab.flow(1).state == ""


def test_a_packet_from_amid_a_connection_is_the_hosts_otherwise(lab: ContractLab):
    lab.put(TWO)
    assert lab.flow(1).send(ACK) == PASSED


# -- timeouts


def test_a_connection_goes_by_the_timeouts_that_were_set(lab: ContractLab):
    lab.put(TWO)
    wanted = {**TIMEOUTS, ConnectionState.ESTABLISHED: 30.0, ConnectionState.UDP: 5.0}
    lab.dataplane.apply([SetTimeouts(timeouts=wanted)])
    assert lab.installed().timeouts == wanted
    tcp, udp = lab.flow(1), lab.flow(2, DNS)
    tcp.established()
    udp.reached()
    lab.advance(4)
    assert (tcp.state, udp.state) == ("established", "udp")
    lab.advance(2)
    assert (tcp.state, udp.state) == ("established", "")
    lab.advance(25)
    assert tcp.state == ""
    lab.dataplane.apply([SetTimeouts(timeouts=TIMEOUTS)])
    assert lab.installed().timeouts == TIMEOUTS


# -- a full table


def answered_by(flow: Flow, flags=SYN) -> tuple[object, int]:
    """Where a packet goes, whose reply must come back in the listener's name."""
    server = flow.reached(flags)
    flow.answered(server, SYN | ACK)
    return server


def test_a_full_table_balances_new_connections_without_remembering_them(lab: ContractLab):
    lab.put(TWO)
    held = fill(lab)
    flow = lab.flow(held)
    server = answered_by(flow)
    assert flow.state == ""
    assert [flow.reached(flags) for flags in (ACK, ACK, FIN | ACK, RST)] == [server] * 4
    flow.answered(server, FIN | ACK)
    assert lab.drops() == {}
    assert lab.totals().connections == held
    assert lab.totals().stateless_packets >= 7
    assert lab.dataplane.overloaded()


def test_established_connections_are_untouched_by_a_full_table(lab: ContractLab):
    lab.put(TWO)
    held = fill(lab)
    for number in range(held, held + 50):
        lab.flow(number).reached(SYN)
    assert all(lab.flow(number).state == "established" for number in (0, held // 2, held - 1))
    assert sum(lab.gauges(real(21))) + sum(lab.gauges(real(22))) >= held


def test_a_client_without_an_entry_keeps_its_real_server_when_another_goes(lab: ContractLab):
    three = service(real(21), real(22), real(23))
    lab.put(three)
    held = fill(lab)
    flows = [lab.flow(number) for number in range(held, held + 60)]
    before = [flow.reached(SYN) for flow in flows]
    assert {server[0] for server in before} == {real(number).address for number in (21, 22, 23)}
    lab.put(service(real(21), real(22), real(23, available=False)))
    after = [flow.reached(ACK) for flow in flows]
    for one, other in zip(before, after, strict=True):
        assert other == one or one == real(23).endpoint


def test_the_choice_without_an_entry_goes_by_weight(lab: ContractLab):
    lab.put(service(real(21, weight=3), real(22, weight=1), real(23, weight=0)))
    held = fill(lab)
    reached = Counter(lab.flow(number % 25_000).reached(ACK) for number in range(held, held + 400))
    assert set(reached) == {real(21).endpoint, real(22).endpoint}
    assert 2.0 < reached[real(21).endpoint] / reached[real(22).endpoint] < 4.5


def test_a_connection_is_taken_up_when_there_is_room_again(lab: ContractLab):
    lab.put(TWO)
    held = fill(lab)
    flows = [lab.flow(number) for number in range(held, held + 20)]
    for flow in flows:
        flow.reached(SYN)
    servers = [flow.reached(ACK) for flow in flows]
    assert "" in {flow.state for flow in flows}
    lab.advance(800)
    assert [flow.reached(ACK) for flow in flows] == servers
    lab.advance(101)
    lab.dataplane.sweep()
    lab.advance(2)  # their places have rested
    assert [flow.reached(ACK) for flow in flows] == servers
    assert {flow.state for flow in flows} == {"established"}
    assert lab.gauges(real(21))[0] + lab.gauges(real(22))[0] == 20


def test_packets_of_unknown_connections_are_the_hosts_again_after_the_overload(lab: ContractLab):
    lab.put(TWO)
    held = fill(lab)
    lab.advance(11)
    assert not lab.dataplane.overloaded()
    lab.advance(901)
    assert lab.flow(held).send(ACK) == PASSED
    assert lab.send(lab.flow(held).reply(real(21).endpoint, ACK)) == PASSED


def test_a_table_that_was_never_full_is_not_overloaded(lab: ContractLab):
    lab.put(TWO)
    lab.flow(1).established()
    assert not lab.dataplane.overloaded()
    assert lab.totals().stateless_packets == 0


def test_under_direct_routing_a_full_table_needs_no_names(lab: ContractLab):
    both = (HTTP, replace(HTTP, port=443))
    lab.put(service(real(21, port=0), real(22, port=0), listeners=both, method=ForwardingMethod.DR))
    held = fill(lab)
    assert lab.flow(held).send(ACK).action is Action.FORWARD
    assert lab.drops() == {}


def test_where_replies_have_no_name_a_full_table_refuses(lab: ContractLab):
    lab.put(service(real(21), listeners=(HTTP, replace(HTTP, port=443))))
    for number in range(20_000):
        flow = lab.flow(number)
        if flow.send(SYN).action is Action.DROP:
            break
        flow.reached(ACK)
    assert flow.send(SYN) == drop(Drop.TABLE_FULL)
    assert lab.totals().stateless_packets == 0
