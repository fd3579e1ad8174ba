"""Whom a service admits: access lists, its connection limit, and how often a source may come."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from shoal.dataplane.base import Drop, Service
from shoal.dataplane.packet import Action, drop
from shoal.model import Admission, Rate
from support.flows import ACK, CLIENT, DNS, HTTP, RST, SYN, ContractLab, real, service
from support.translation import TranslatedDataplane

OTHER = IPv4Address("203.0.113.9")


def networks(*texts: str) -> tuple[IPv4Network, ...]:
    """Networks by their notation."""
    return tuple(map(IPv4Network, texts))


def admitting(**keys: object) -> Service:
    """A service with these limits."""
    return replace(service(real(21), listeners=(HTTP, DNS)), admission=Admission(**keys))


def test_whoever_is_not_in_a_list_of_the_allowed_is_refused(lab: ContractLab):
    lab.put(admitting(allow=networks("198.51.100.0/24")))
    lab.flow(1).established()
    assert lab.flow(1, client=OTHER).send(SYN) == drop(Drop.DENIED)
    assert lab.flow(1, DNS, client=OTHER).send() == drop(Drop.DENIED)
    assert lab.drops() == {Drop.DENIED: 2}
    assert lab.totals().connections == 1


def test_whoever_is_in_a_list_of_the_denied_is_refused(lab: ContractLab):
    lab.put(admitting(deny=networks("203.0.113.0/24")))
    lab.flow(1).established()
    assert lab.flow(1, client=OTHER).send(SYN) == drop(Drop.DENIED)


@pytest.mark.parametrize(
    ("allow", "deny", "admitted"),
    [
        (("198.51.100.0/24",), ("198.51.100.7/32",), False),
        (("198.51.100.7/32",), ("198.51.100.0/24",), True),
        (("0.0.0.0/0",), ("198.51.100.0/25",), False),
        (("198.51.100.0/25",), ("0.0.0.0/0",), True),
        ((), ("0.0.0.0/0",), False),
        (("198.51.100.8/32",), (), False),
    ],
)
def test_the_longest_prefix_decides(lab: ContractLab, allow, deny, admitted):
    lab.put(admitting(allow=networks(*allow), deny=networks(*deny)))
    assert (lab.flow(1).send(SYN).action is Action.FORWARD) is admitted


def test_a_connection_goes_on_when_its_source_is_denied_later(lab: ContractLab):
    lab.put(admitting())
    flow = lab.flow(1)
    server = flow.established()
    lab.put(admitting(deny=networks("198.51.100.0/24")))
    assert flow.reached(ACK) == server
    assert lab.flow(2).send(SYN) == drop(Drop.DENIED)
    lab.put(admitting())
    lab.flow(3).established()


def test_lists_and_limits_are_read_back(lab: ContractLab):
    wanted = admitting(
        allow=networks("198.51.100.0/24", "203.0.113.128/25"),
        deny=networks("0.0.0.0/0", "198.51.100.7/32"),
        connection_limit=7,
        source_rate=Rate(count=30, period=60),
        source_burst=5,
    )
    lab.put(wanted, replace(service(real(21), listeners=(), name="open")))
    assert lab.installed().services["www"].admission == wanted.admission
    assert lab.installed().services["open"].admission == Admission()


def test_lists_of_services_are_kept_apart(lab: ContractLab):
    other = replace(service(real(22), listeners=(DNS,), name="dns"), admission=Admission())
    lab.put(replace(admitting(deny=networks("0.0.0.0/0")), listeners=(HTTP,)), other)
    assert lab.flow(1).send(SYN) == drop(Drop.DENIED)
    assert lab.flow(1, DNS).reached() == real(22).endpoint


def test_a_service_has_no_more_connections_than_its_limit(lab: ContractLab):
    lab.put(admitting(connection_limit=3))
    flows = [lab.flow(number) for number in range(3)]
    servers = [flow.established() for flow in flows]
    assert lab.flow(9).send(SYN) == drop(Drop.CONNECTION_LIMIT)
    assert lab.flow(9, DNS).send() == drop(Drop.CONNECTION_LIMIT)
    assert lab.drops() == {Drop.CONNECTION_LIMIT: 2}
    assert [flow.reached(ACK) for flow in flows] == servers


def test_an_ended_connection_makes_room_under_the_limit(lab: ContractLab):
    lab.put(admitting(connection_limit=2))
    first, second = lab.flow(1), lab.flow(2)
    server = first.established()
    second.established()
    first.answered(server, RST)
    assert lab.flow(3).send(SYN) == drop(Drop.CONNECTION_LIMIT)
    lab.advance(11)
    lab.dataplane.sweep()
    lab.flow(3).established()
    assert lab.flow(4).send(SYN) == drop(Drop.CONNECTION_LIMIT)


def test_a_port_used_again_counts_once_under_the_limit(lab: ContractLab):
    lab.put(admitting(connection_limit=1))
    flow = lab.flow(1)
    for _ in range(4):
        flow.closed()
    assert lab.flow(2).send(SYN) == drop(Drop.CONNECTION_LIMIT)


def test_a_source_that_comes_too_often_is_refused_until_time_has_passed(lab: ContractLab):
    lab.put(admitting(source_rate=Rate(count=1, period=60), source_burst=2))
    lab.flow(1).established()
    flow = lab.flow(2)
    server = flow.established()
    assert lab.flow(3).send(SYN) == drop(Drop.SOURCE_RATE)
    assert lab.drops() == {Drop.SOURCE_RATE: 1}
    assert flow.reached(ACK) == server
    lab.advance(61)
    lab.flow(4).established()
    assert lab.flow(5).send(SYN) == drop(Drop.SOURCE_RATE)


def test_a_refused_source_is_not_charged_for_it(lab: ContractLab):
    lab.put(admitting(source_rate=Rate(count=1, period=60), source_burst=1))
    lab.flow(1).established()
    for number in range(10, 15):
        assert lab.flow(number).send(SYN) == drop(Drop.SOURCE_RATE)
    lab.advance(61)
    lab.flow(2).established()


def test_sources_in_different_networks_have_rates_of_their_own(lab: ContractLab):
    lab.put(admitting(source_rate=Rate(count=1, period=3600), source_burst=1))
    lab.flow(1, client=CLIENT).established()
    verdict = lab.flow(1, client=OTHER).send(SYN)
    if isinstance(
        lab.dataplane, TranslatedDataplane
    ):  # the IPv6 addresses that these stand for are of one /64
        assert verdict == drop(Drop.SOURCE_RATE)
    else:
        assert verdict.action is Action.FORWARD
