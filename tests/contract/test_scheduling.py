"""Schedulers' orders and exact counts, seen through packets."""

import random
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import cycle, islice

import pytest

from shoal.dataplane.base import DestinationCounters, Drop
from shoal.errors import ConfigError
from shoal.schedulers import Load, Request, scheduler_class
from support.flows import ACK, CLIENT, DNS, FIN, HTTP, HTTPS, SYN, VIP, ContractLab, real, service


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
        ("sed", (1, 1, 1), "123123"),
        ("sed", (1, 2, 3), "323123"),
        ("nq", (1, 2, 3), "123323"),
        ("fo", (1, 3, 3), "2222"),
        ("ovf", (1, 0, 3), "333311"),
        ("twos", (0, 1, 0), "2222"),
        ("dh", (1, 1, 1), "1111"),
        ("sh", (1, 1, 1), "1111"),
        ("mh", (1, 1, 1), "3333"),
        ("lblc", (3, 3, 3), "11112"),
        ("lblcr", (3, 3, 3), "11112"),
    ],
)
def test_new_connections_are_spread_in_the_schedulers_order(lab: ContractLab, scheduler, weights, expected):
    lab.put(service(*(real(21 + n, weight=weight) for n, weight in enumerate(weights)), scheduler=scheduler))
    assert chosen(lab, len(expected)) == expected


def test_an_overflow_that_is_full_refuses(lab: ContractLab):
    lab.put(service(real(21), scheduler="ovf"))
    assert chosen(lab, 2) == "11"
    assert lab.flow(2).send(SYN).reason is Drop.NO_REAL_SERVER


def test_the_better_of_two_random_choices_keeps_the_loads_near(lab: ContractLab):
    lab.put(service(real(21), real(22), real(23), scheduler="twos"))
    found = Counter(chosen(lab, 90))
    assert all(20 <= found[server] <= 40 for server in "123")


def clients(count: int) -> list[IPv4Address]:
    return [CLIENT + 7919 * number for number in range(count)]


def reached_by(lab: ContractLab, count: int, *, first: int = 0) -> list[str]:
    """Last digits of the real servers that so many clients reach, each by one new connection; - for none."""
    verdicts = [
        lab.flow(first + number, client=client).send(SYN) for number, client in enumerate(clients(count))
    ]
    return [str(each.packet.destination)[-1] if each.packet else "-" for each in verdicts]


@pytest.mark.parametrize("scheduler", ["sh", "mh"])
def test_a_client_keeps_its_real_server_whatever_its_port(lab: ContractLab, scheduler):
    lab.put(service(real(21), real(22), real(23), scheduler=scheduler))
    before = reached_by(lab, 60)
    assert set(before) == {"1", "2", "3"}
    assert reached_by(lab, 60, first=500) == before


@pytest.mark.parametrize("scheduler", ["sh", "mh"])
def test_with_the_port_flag_a_client_is_spread(lab: ContractLab, scheduler):
    lab.put(service(real(21), real(22), scheduler=scheduler, flags=(f"{scheduler}-port",)))
    assert set(chosen(lab, 60)) == {"1", "2"}


@pytest.mark.parametrize("scheduler", ["sh", "mh"])
def test_clients_of_a_real_server_that_is_down_are_refused(lab: ContractLab, scheduler):
    lab.put(service(real(21), real(22), real(23), scheduler=scheduler))
    before = reached_by(lab, 60)
    lab.put(service(real(21), real(22, available=False), real(23), scheduler=scheduler))
    assert reached_by(lab, 60, first=500) == ["-" if each == "2" else each for each in before]


# sh goes to bucket 2b: from those of 2 (1, 4, 7, ...) always to those of 3 (2, 8, 14, ...)
@pytest.mark.parametrize(("scheduler", "takers"), [("sh", {"3"}), ("mh", {"1", "3"})])
def test_with_the_fallback_flag_only_the_clients_of_a_real_server_that_is_down_move(
    lab: ContractLab, scheduler, takers
):
    flags = (f"{scheduler}-fallback",)
    lab.put(service(real(21), real(22), real(23), scheduler=scheduler, flags=flags))
    before = reached_by(lab, 60)
    lab.put(service(real(21), real(22, available=False), real(23), scheduler=scheduler, flags=flags))
    after = reached_by(lab, 60, first=500)
    moved = [now for now, then in zip(after, before, strict=True) if then == "2"]
    assert set(moved) == takers
    assert [now for now, then in zip(after, before, strict=True) if then != "2"] == [
        each for each in before if each != "2"
    ]


def test_destination_hashing_goes_by_the_virtual_address(lab: ContractLab):
    listeners = tuple(replace(HTTP, address=VIP + 3 * number) for number in range(12))
    lab.put(service(real(21), real(22), real(23), scheduler="dh", listeners=listeners))
    first = [lab.flow(number, each).reached(SYN) for number, each in enumerate(listeners)]
    again = [lab.flow(100 + number, each).reached(SYN) for number, each in enumerate(listeners)]
    assert first == again
    assert len(set(first)) == 3


def test_a_virtual_address_stays_with_its_real_server_through_changes_of_the_service(lab: ContractLab):
    listeners = (HTTP, replace(HTTP, address=VIP + 1))
    servers = (real(21, weight=9), real(22, weight=9))
    lab.put(service(*servers, scheduler="lblc", listeners=listeners))
    assert [lab.flow(n, listeners[n]).reached(SYN) for n in (0, 1)] == [each.endpoint for each in servers]
    lab.put(service(real(23, weight=9), *servers[::-1], scheduler="lblc", listeners=listeners))
    assert [lab.flow(10 + n, listeners[n]).reached(SYN) for n in (0, 1)] == [
        each.endpoint for each in servers
    ]


def test_a_virtual_address_leaves_a_real_server_that_is_down_for_good(lab: ContractLab):
    first, second = real(21, weight=9), real(22, weight=9)
    lab.put(service(first, second, scheduler="lblc"))
    assert chosen(lab, 2) == "11"
    lab.put(service(replace(first, available=False), second, scheduler="lblc"))
    assert chosen(lab, 2, first=10) == "22"
    lab.put(service(first, second, scheduler="lblc"))
    assert chosen(lab, 2, first=20) == "22"


@pytest.mark.parametrize("flags", [("sh-port",), ("sh-fallback", "sh-port")])
def test_scheduler_flags_are_read_back(lab: ContractLab, flags):
    wanted = service(real(21), scheduler="sh", flags=flags)
    lab.put(wanted)
    assert lab.installed().services["www"] == wanted


@pytest.mark.parametrize(("scheduler", "flag"), [("wlc", "sh-port"), ("mh", "sh-port"), ("sh", "port")])
def test_a_flag_that_the_scheduler_does_not_take_is_refused_and_changes_nothing(
    lab: ContractLab, scheduler, flag
):
    lab.put(service(real(21)))
    before = lab.installed()
    with pytest.raises(ConfigError, match=f"{scheduler} has no flag {flag}"):
        lab.put(service(real(21), scheduler=scheduler, flags=(flag,)))
    assert lab.installed() == before


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc", "sed", "nq"])
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


@pytest.mark.parametrize(
    "scheduler", ["rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "sh", "dh", "mh", "lblc", "lblcr"]
)
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
            loads.append(
                Load(
                    weight=each.weight,
                    active=found.active,
                    inactive=found.inactive,
                    address=each.address,
                    port=each.port,
                )
            )
        flow = lab.flow(number, client=CLIENT + rng.randrange(1000))
        request = Request(client=flow.client, client_port=flow.port, virtual_address=VIP)
        index = reference.choose(loads, request)
        if index is None:
            assert flow.send(SYN).reason is Drop.NO_REAL_SERVER
            continue
        assert flow.reached(SYN) == destinations[index].endpoint
        open_flows.append(flow)
        if rng.random() < 0.9:
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
