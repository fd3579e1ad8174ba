"""Listeners that are more than one port: ranges, any port, and the ports that packets keep."""

from dataclasses import replace

import pytest

from shoal.dataplane.base import Service
from shoal.dataplane.packet import Action, Verdict
from shoal.errors import ConfigError
from shoal.model import ForwardingMethod, Listener, Protocol
from support.flows import ACK, HTTP, SYN, VIP, ContractLab, real, service

RANGE = Listener(address=VIP, port=8000, protocol=Protocol.TCP, last_port=8099)
ANY = Listener(address=VIP, port=0, protocol=Protocol.TCP, last_port=65535)
KEPT = real(21, port=0)


def at(port: int, protocol: Protocol = Protocol.TCP) -> Listener:
    """One port of the virtual address."""
    return Listener(address=VIP, port=port, protocol=protocol)


def wide(*listeners: Listener, name: str = "wide") -> Service:
    """A service of one real server that keeps the ports of its packets."""
    return service(KEPT, listeners=listeners, name=name)


@pytest.mark.parametrize("port", [8000, 8001, 8050, 8063, 8064, 8098, 8099])
def test_every_port_of_a_range_is_served_and_kept(lab: ContractLab, port: int):
    lab.put(wide(RANGE))
    flow = lab.flow(1, at(port))
    server = flow.established()
    assert server == (KEPT.address, port)
    flow.answered(server, ACK)
    assert flow.connection().real == (KEPT.address, port)


@pytest.mark.parametrize("port", [7999, 8100, 80, 65535])
def test_the_ports_beside_a_range_are_not_served(lab: ContractLab, port: int):
    lab.put(wide(RANGE))
    assert lab.flow(1, at(port)).send(SYN) == Verdict(action=Action.PASS)


def test_a_range_serves_its_protocol_only(lab: ContractLab):
    lab.put(wide(RANGE))
    assert lab.flow(1, at(8001, Protocol.UDP)).send() == Verdict(action=Action.PASS)


def test_any_port_serves_what_nobody_else_does(lab: ContractLab):
    lab.put(wide(ANY), service(real(22), listeners=(HTTP,)), wide(RANGE, name="range"))
    assert lab.flow(1, at(1)).established() == (KEPT.address, 1)
    assert lab.flow(2, at(65535)).established() == (KEPT.address, 65535)
    assert lab.flow(3).established() == real(22).endpoint
    lab.flow(4, at(8042)).established()
    assert lab.counted(KEPT, "wide").connections == 2
    assert lab.counted(KEPT, "range").connections == 1


def test_one_port_within_a_range_may_be_another_service(lab: ContractLab):
    lab.put(wide(RANGE), service(real(22), listeners=(at(8010),), name="one"))
    assert lab.flow(1, at(8010)).established() == real(22).endpoint
    assert lab.flow(2, at(8011)).established() == (KEPT.address, 8011)
    lab.remove("one")
    assert lab.flow(3, at(8010)).established() == (KEPT.address, 8010)


def test_listeners_of_every_kind_are_read_back(lab: ContractLab):
    odd = Listener(address=VIP, port=1, protocol=Protocol.UDP, last_port=65534)
    wanted = (HTTP, RANGE, ANY, odd)
    lab.put(service(KEPT, listeners=tuple(sorted(wanted))))
    assert set(lab.installed().services["www"].listeners) == set(wanted)
    assert lab.installed().services["www"].destinations == (KEPT,)


def test_a_range_that_shrinks_lets_the_other_ports_go(lab: ContractLab):
    lab.put(wide(RANGE))
    kept = lab.flow(1, at(8090))
    server = kept.established()
    smaller = replace(RANGE, last_port=8009)
    lab.put(wide(smaller))
    assert lab.installed().services["wide"].listeners == (smaller,)
    assert lab.flow(2, at(8090)).send(SYN) == Verdict(action=Action.PASS)
    assert lab.flow(3, at(8009)).established() == (KEPT.address, 8009)
    assert kept.reached(ACK) == server


def test_a_range_that_another_service_has_taken_over_stays_there(lab: ContractLab):
    lab.put(wide(RANGE, name="old"))
    half = replace(RANGE, port=8064)
    lab.put(wide(half, name="new"))
    lab.remove("old")
    lab.flow(1, at(8070)).established()
    assert lab.counted(KEPT, "new").connections == 1
    assert lab.flow(2, at(8000)).send(SYN) == Verdict(action=Action.PASS)


def test_the_same_range_cannot_belong_to_two_services(lab: ContractLab):
    lab.put(wide(RANGE, name="one"))
    with pytest.raises(ConfigError, match="belongs to one"):
        lab.put(wide(RANGE, name="two"))
    assert set(lab.installed().services) == {"one"}


def test_a_removed_range_is_gone(lab: ContractLab):
    lab.put(wide(RANGE, ANY))
    lab.remove("wide")
    assert lab.installed().services == {}
    assert lab.flow(1, at(8000)).send(SYN) == Verdict(action=Action.PASS)


def test_a_real_server_without_a_port_keeps_that_of_single_listeners(lab: ContractLab):
    lab.put(wide(HTTP, at(443)))
    assert lab.flow(1).established() == (KEPT.address, 80)
    flow = lab.flow(1, at(443))
    server = flow.established()
    assert server == (KEPT.address, 443)
    flow.answered(server, ACK)


def test_a_range_by_direct_routing_arrives_as_it_was_sent(lab: ContractLab):
    lab.put(replace(wide(RANGE), method=ForwardingMethod.DR))
    assert lab.flow(1, at(8042)).reached(SYN) == (VIP, 8042)
    assert lab.counted(KEPT, "wide").active == 1


def test_ports_of_a_range_are_told_apart(lab: ContractLab):
    lab.put(wide(RANGE))
    first, second = lab.flow(1, at(8001)), lab.flow(1, at(8002))
    first.established()
    second.established()
    assert lab.totals("wide").connections == 2
    assert (first.state, second.state) == ("established", "established")
