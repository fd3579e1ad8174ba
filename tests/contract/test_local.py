"""Forwarding method local: the router is the real server. Its stack gets the packets, and the dataplane counts them.

XDP leaves all of it to TC, which sees what it passes on (tests/bpf/test_local_frames.py).
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Destination
from shoal.dataplane.packet import Action, IcmpError, Packet, Quote, Verdict
from shoal.model import ForwardingMethod
from support.dataplanes import DATAPLANES
from support.flows import ACK, DNS, FIN, HTTP, NONE, RST, SYN, ContractLab, real, service

PASS = Verdict(action=Action.PASS)
HERE = Destination(address=IPv4Address("127.0.0.1"), port=80, weight=1)
ONE = service(HERE, listeners=(HTTP, DNS), method=ForwardingMethod.LOCAL)


@pytest.fixture(params=[name for name in DATAPLANES if "xdp" not in name])
def lab(request: pytest.FixtureRequest) -> Iterator[ContractLab]:
    """A fresh dataplane that has the last look at a packet."""
    under_test = DATAPLANES[request.param]()
    try:
        yield ContractLab(under_test)
    finally:
        under_test.close()


def test_every_packet_is_passed_to_the_host_untouched(lab: ContractLab):
    lab.put(ONE)
    flow, question = lab.flow(), lab.flow(listener=DNS)
    assert [flow.send(flags, payload=b"x" * 77) for flags in (SYN, ACK, FIN | ACK, RST)] == [PASS] * 4
    assert question.send(NONE, payload=b"who?") == PASS


def test_the_states_follow_what_the_client_alone_says(lab: ContractLab):
    lab.put(ONE)
    flow, states = lab.flow(), []
    for flags in (SYN, ACK, FIN | ACK):
        flow.send(flags)
        states.append(flow.state)
    assert states == ["syn_recv", "established", "fin_wait"]


def test_packets_and_connections_are_counted(lab: ContractLab):
    lab.put(ONE)
    packets = [lab.flow().request(flags, payload=b"12345") for flags in (SYN, ACK)]
    for packet in packets:
        lab.send(packet)
    counted = lab.counted(HERE)
    assert (counted.connections, counted.active, counted.packets_in, counted.packets_out) == (1, 1, 2, 0)
    assert counted.bytes_in == sum(packet.length for packet in packets)


def test_the_connection_names_the_router_itself(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    found = flow.connection()
    assert found is not None
    assert found.real == HERE.endpoint


def test_the_router_takes_its_turn_among_other_real_servers(lab: ContractLab):
    lab.put(service(real(21), replace(HERE, method=ForwardingMethod.LOCAL)))
    assert lab.flow(1).reached(SYN) == real(21).endpoint
    assert lab.flow(2).send(SYN) == PASS
    assert lab.flow(3).reached(SYN) == real(21).endpoint
    assert lab.flow(2).state == "syn_recv"


def test_a_known_connections_packet_at_the_end_of_its_life_has_arrived(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    assert lab.send(flow.request(ACK, ttl=1)) == PASS
    assert flow.state == "established"


def test_an_error_about_what_the_router_said_is_the_hosts(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    said = flow.reply((flow.listener.address, flow.listener.port), SYN | ACK)
    error = Packet(
        source=flow.client,
        destination=flow.listener.address,
        protocol=None,
        quote=Quote(error=IcmpError.UNREACHABLE, packet=said),
    )
    assert lab.send(error) == PASS
    assert lab.counted(HERE).packets_in == 1


def test_what_is_installed_is_read_back_with_its_method(lab: ContractLab):
    lab.put(ONE)
    installed = lab.installed().services["www"]
    assert (installed.method, installed.destinations) == (ForwardingMethod.LOCAL, (HERE,))
