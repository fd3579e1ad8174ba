"""Schedulers' orders and exact counts, seen through packets."""

import random
from itertools import cycle, islice

import pytest

from shoal.dataplane.base import DestinationCounters
from shoal.schedulers import Load, scheduler_class
from support.flows import ACK, DNS, FIN, HTTP, HTTPS, SYN, ContractLab, real, service


def chosen(lab: ContractLab, count: int, *, first: int = 0) -> str:
    """Last digits of the real servers that new connections, left half-open, go to."""
    return "".join(str(lab.flow(first + n).reached(SYN)[0])[-1] for n in range(count))


@pytest.mark.parametrize(
    ("scheduler", "weights", "expected"),
    [
        ("rr", (1, 1, 1), "12312312"),
        ("rr", (1, 0, 5), "13131313"),
        ("wrr", (4, 3, 2), "112123123112123123"),
        ("wrr", (1, 1, 1), "123123"),
        ("wrr", (6, 0, 3), "113113"),
        ("lc", (1, 9, 9), "123123"),
        ("wlc", (1, 1, 1), "123123"),
        ("wlc", (1, 2, 3), "123323"),
        ("wlc", (0, 1, 0), "2222"),
    ],
)
def test_new_connections_are_spread_in_the_schedulers_order(lab: ContractLab, scheduler, weights, expected):
    lab.put(service(*(real(21 + n, weight=weight) for n, weight in enumerate(weights)), scheduler=scheduler))
    assert chosen(lab, len(expected)) == expected


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc"])
def test_a_real_server_that_is_down_gets_nothing_new(lab: ContractLab, scheduler):
    lab.put(service(real(21), real(22, available=False), real(23), scheduler=scheduler))
    assert chosen(lab, 4) == "1313"


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc"])
def test_a_real_server_that_is_up_again_gets_its_share(lab: ContractLab, scheduler):
    lab.put(service(real(21), real(22, available=False), scheduler=scheduler))
    assert chosen(lab, 3) == "111"
    lab.put(service(real(21), real(22), scheduler=scheduler))
    assert chosen(lab, 6, first=10).count("2") == (3 if scheduler in ("rr", "wrr") else 4)


def test_closed_connections_weigh_next_to_nothing(lab: ContractLab):
    lab.put(service(real(21), real(22), scheduler="wlc"))
    first, second = lab.flow(1), lab.flow(2)
    assert first.established() == real(21).endpoint
    assert second.closed() == real(22).endpoint
    assert chosen(lab, 1, first=10) == "2"


def test_the_listeners_of_a_service_share_one_order(lab: ContractLab):
    lab.put(service(real(21), real(22), listeners=(HTTP, HTTPS)))
    flows = [lab.flow(n, listener) for n, listener in enumerate(islice(cycle((HTTP, HTTPS)), 4))]
    assert [str(flow.reached(SYN)[0])[-1] for flow in flows] == ["1", "2", "1", "2"]


def test_services_do_not_share_an_order(lab: ContractLab):
    lab.put(service(real(21), real(22)), service(real(21), real(22), listeners=(HTTPS,), name="tls"))
    assert [str(lab.flow(n, HTTP).reached(SYN)[0])[-1] for n in (1, 2)] == ["1", "2"]
    assert [str(lab.flow(n, HTTPS).reached(SYN)[0])[-1] for n in (3, 4)] == ["1", "2"]


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc"])
def test_every_decision_equals_the_reference(lab: ContractLab, scheduler):
    rng = random.Random(scheduler)
    destinations = [real(21 + n, weight=rng.choice((0, 1, 2, 3, 7))) for n in range(5)]
    lab.put(service(*destinations, scheduler=scheduler))
    reference = scheduler_class(scheduler)()
    open_flows = []
    for number in range(150):
        loads = []
        for each in destinations:
            found = lab.counted(each)
            loads.append(Load(weight=each.weight, active=found.active, inactive=found.inactive))
        index = reference.choose(loads)
        assert index is not None
        flow = lab.flow(number)
        assert flow.reached(SYN) == destinations[index].endpoint
        open_flows.append(flow)
        if rng.random() < 0.6:
            ending = open_flows.pop(rng.randrange(len(open_flows)))
            ending.reached(FIN | ACK)


# -- counters


def test_packets_and_bytes_are_counted_by_direction(lab: ContractLab):
    lab.put(service(real(21)))
    flow = lab.flow()
    server = flow.established()
    flow.reached(ACK, payload=b"x" * 100)
    flow.answered(server, ACK, payload=b"y" * 1000)
    flow.answered(server, ACK, payload=b"y" * 500)
    assert lab.counted(real(21)) == DestinationCounters(
        active=1,
        inactive=0,
        connections=1,
        packets_in=3,
        bytes_in=3 * 40 + 100,
        packets_out=3,
        bytes_out=3 * 40 + 1500,
    )


def test_udp_is_counted_and_is_inactive(lab: ContractLab):
    lab.put(service(real(21), listeners=(DNS,)))
    flow = lab.flow(listener=DNS)
    flow.answered(flow.reached(payload=b"1234"), payload=b"12345678")
    assert lab.counted(real(21)) == DestinationCounters(
        inactive=1, connections=1, packets_in=1, bytes_in=32, packets_out=1, bytes_out=36
    )


def test_a_connection_is_active_from_its_syn_until_its_first_fin(lab: ContractLab):
    lab.put(service(real(21)))
    flow = lab.flow()
    server = flow.reached(SYN)
    assert lab.gauges(real(21)) == (1, 0)
    flow.answered(server, SYN | ACK)
    flow.reached(ACK)
    assert lab.gauges(real(21)) == (1, 0)
    flow.answered(server, FIN | ACK)
    assert lab.gauges(real(21)) == (0, 1)
    flow.reached(FIN | ACK)
    assert lab.gauges(real(21)) == (0, 1)


def test_an_expired_connection_is_no_longer_counted(lab: ContractLab):
    lab.put(service(real(21), listeners=(HTTP, DNS)))
    lab.flow(1).established()
    lab.flow(2).closed()
    lab.flow(3, DNS).reached()
    assert lab.gauges(real(21)) == (1, 2)
    lab.advance(301)
    assert lab.gauges(real(21)) == (1, 0)
    lab.advance(600)
    assert lab.gauges(real(21)) == (0, 0)
    assert lab.dataplane.counters().connections_held == 0


def test_the_counts_stay_exact_through_a_crowd(lab: ContractLab):
    rng = random.Random(11)
    servers = (real(21), real(22), real(23))
    lab.put(service(*servers, scheduler="wlc"))
    for number in range(200):
        flow = lab.flow(rng.randrange(80))
        if flow.state == "" or rng.random() < 0.3:
            flow.reached(SYN)
        elif rng.random() < 0.5:
            flow.reached(rng.choice((ACK, FIN | ACK)))
        if number % 50 == 49:
            lab.advance(61)
        lab.dataplane.sweep()
        states = [(each.real, str(each.state)) for each in lab.dataplane.connections(limit=1000)]
        for server in servers:
            mine = [state for its_real, state in states if its_real == server.endpoint]
            active = sum(state in ("established", "syn_recv") for state in mine)
            assert lab.gauges(server) == (active, len(mine) - active)


def test_dropped_packets_are_not_counted_as_forwarded(lab: ContractLab):
    lab.put(service(real(21)))
    flow = lab.flow()
    flow.established()
    before = lab.counted(real(21))
    lab.send(flow.request(ACK, ttl=1))
    assert lab.counted(real(21)) == before


def test_the_list_of_connections_is_as_long_as_asked(lab: ContractLab):
    lab.put(service(real(21)))
    for number in range(5):
        lab.flow(number).established()
    assert len(list(lab.dataplane.connections(limit=3))) == 3
    assert len(list(lab.dataplane.connections(limit=100))) == 5
