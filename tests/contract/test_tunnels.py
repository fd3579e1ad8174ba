"""Forwarding method tunnel: packets leave whole inside others, and replies are never seen."""

from dataclasses import replace

import pytest

from shoal.dataplane.base import DataplaneState, Destination, Drop
from shoal.dataplane.packet import Action, Outer, Packet, Verdict, drop
from shoal.dataplane.plan import plan
from shoal.model import GUE_PORT, Encapsulation, ForwardingMethod
from support.flows import ACK, DNS, FIN, HTTP, HTTPS, RST, SYN, ContractLab, real, service

NAT, DR, TUNNEL = ForwardingMethod.NAT, ForwardingMethod.DR, ForwardingMethod.TUNNEL
PASS = Verdict(action=Action.PASS)
KINDS = list(Encapsulation)


def to(
    number: int, *, port: int = 80, encap: Encapsulation = Encapsulation.IPIP, **fields: int
) -> Destination:
    """Real server 10.0.1.NUMBER through a tunnel."""
    return replace(real(number, port=port, method=TUNNEL), encap=encap, **fields)


def inside(packet: Packet, destination: Destination) -> Verdict:
    """The verdict that sends a packet on inside another, one hop older."""
    outer = Outer(destination=destination.address, encap=destination.encap, port=destination.outer_port)
    return Verdict(action=Action.FORWARD, packet=replace(packet, ttl=packet.ttl - 1, outer=outer))


@pytest.mark.parametrize("encap", KINDS)
def test_a_request_leaves_as_it_came_but_for_its_ttl_inside_another(lab: ContractLab, encap: Encapsulation):
    lab.put(service(to(21, encap=encap)))
    flow = lab.flow()
    for packet in (flow.request(SYN, ttl=57), flow.request(ACK, ttl=2), flow.request(ACK, payload=b"GET /")):
        assert lab.send(packet) == inside(packet, to(21, encap=encap))


@pytest.mark.parametrize("payload", [b"", b"x", b"\xff" * 1000, bytes(range(256)) * 5])
def test_udp_leaves_as_it_came_whatever_it_carries(lab: ContractLab, payload: bytes):
    destination = to(21, port=53, encap=Encapsulation.GUE, encap_port=5555)
    lab.put(service(destination, listeners=(DNS,)))
    packet = lab.flow(listener=DNS).request(payload=payload)
    assert lab.send(packet) == inside(packet, destination)


def test_requests_are_counted_without_what_is_around_them(lab: ContractLab):
    lab.put(service(to(21)))
    packet = lab.flow().request(SYN, payload=b"12345")
    lab.send(packet)
    counted = lab.counted(to(21))
    assert (counted.connections, counted.active, counted.inactive) == (1, 1, 0)
    assert (counted.packets_in, counted.bytes_in, counted.packets_out) == (1, packet.length, 0)


def test_the_connection_names_the_real_server(lab: ContractLab):
    lab.put(service(to(21)))
    flow = lab.flow()
    flow.send(SYN)
    found = flow.connection()
    assert found is not None
    assert found.real == to(21).endpoint


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ((SYN,), "syn_recv"),
        ((SYN, ACK), "established"),
        ((SYN, ACK, FIN | ACK), "fin_wait"),
        ((SYN, ACK, RST), "close"),
    ],
)
def test_the_state_follows_the_client_alone(lab: ContractLab, flags: tuple, state: str):
    lab.put(service(to(21)))
    flow = lab.flow()
    for each in flags:
        flow.send(each)
    found = flow.connection()
    assert found is not None
    assert found.state == state


def test_what_the_real_server_sends_in_its_own_name_is_not_touched(lab: ContractLab):
    lab.put(service(to(21)))
    flow = lab.flow()
    flow.send(SYN)
    request = flow.request(ACK)
    own = replace(
        request,
        source=to(21).address,
        source_port=80,
        destination=request.source,
        destination_port=request.source_port,
    )
    assert lab.send(own) == PASS


@pytest.mark.parametrize(("protocol", "extra"), [(HTTP, 1461), (DNS, 1473)])
@pytest.mark.parametrize("method", [NAT, DR, TUNNEL])
def test_a_packet_that_does_not_fit_its_way_is_dropped_by_name(lab: ContractLab, method, protocol, extra):
    lab.put(service(real(21, port=protocol.port, method=method), listeners=(protocol,)))
    flow = lab.flow(listener=protocol)
    first = flow.request(SYN)
    assert lab.send(first).action is Action.FORWARD
    verdict = lab.send(flow.request(ACK, payload=bytes(extra)))
    assert verdict == drop(Drop.PACKET_TOO_BIG)
    assert lab.drops() == {Drop.PACKET_TOO_BIG: 1}


@pytest.mark.parametrize("encap", KINDS)
def test_what_is_around_a_packet_takes_its_part_of_the_way(lab: ContractLab, encap: Encapsulation):
    """Sizes that are right over IPv4 as over IPv6, where every header is 20 bytes longer."""
    destination = to(21, encap=encap)
    lab.put(service(destination))
    flow = lab.flow()
    flow.send(SYN)
    fits = flow.request(ACK, payload=bytes(1460 - destination.overhead - 40))
    assert lab.send(fits) == inside(fits, destination)
    assert lab.send(flow.request(ACK, payload=bytes(1461 - destination.overhead))) == drop(
        Drop.PACKET_TOO_BIG
    )


def test_a_packet_at_the_end_of_its_life_is_dropped(lab: ContractLab):
    lab.put(service(to(21)))
    flow = lab.flow()
    flow.send(SYN)
    assert lab.send(flow.request(ACK, ttl=1)) == drop(Drop.TTL_EXCEEDED)


@pytest.mark.parametrize("encap", KINDS)
def test_what_is_installed_is_what_was_asked_for(lab: ContractLab, encap: Encapsulation):
    port = 5555 if encap is Encapsulation.GUE else GUE_PORT
    wanted = service(to(21, encap=encap, encap_port=port), real(22, port=80, method=DR), method=TUNNEL)
    lab.put(wanted)
    assert plan(DataplaneState(services={wanted.name: wanted}), lab.dataplane.actual()) == ()


def test_connections_follow_their_real_server_into_another_encapsulation(lab: ContractLab):
    lab.put(service(to(21)))
    flow = lab.flow()
    flow.send(SYN)
    changed = to(21, encap=Encapsulation.GUE)
    lab.put(service(changed))
    packet = flow.request(ACK)
    assert lab.send(packet) == inside(packet, changed)
    found = lab.dataplane.actual().services["www"].destinations[0]
    assert (found.encap, found.encap_port) == (Encapsulation.GUE, GUE_PORT)


def test_a_connection_goes_on_through_its_tunnel_after_a_change_of_method(lab: ContractLab):
    lab.put(service(to(21)))
    flow = lab.flow()
    flow.send(SYN)
    lab.put(service(real(21, port=80, method=DR)))
    packet = flow.request(ACK)
    assert lab.send(packet) == inside(packet, to(21))
    fresh = lab.flow(1).request(SYN)
    assert lab.send(fresh) == Verdict(action=Action.FORWARD, packet=replace(fresh, ttl=fresh.ttl - 1))


def test_two_tunnels_may_end_at_servers_of_one_client(lab: ContractLab):
    """Replies never come back this way, so it does not matter that they would look alike."""
    lab.put(service(to(21)))
    lab.put(service(to(21, port=443), name="other", listeners=(HTTPS,)))
    for listener in (HTTP, HTTPS):
        packet = lab.flow(listener=listener).request(SYN)
        assert lab.send(packet) == inside(packet, to(21))
