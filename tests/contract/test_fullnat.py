"""Forwarding method fullnat: a real server sees a connection from the router, and answers the router."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import DataplaneState, Drop
from shoal.dataplane.packet import Action, Packet, TcpFlags, Verdict, drop
from shoal.dataplane.plan import plan
from shoal.model import ForwardingMethod
from support.flows import (
    ACK,
    DNS,
    FIN,
    HTTP,
    HTTPS,
    NONE,
    RST,
    SYN,
    ContractLab,
    Endpoint,
    Flow,
    real,
    service,
)

FULLNAT = ForwardingMethod.FULLNAT
LOCAL, SECOND = IPv4Address("10.0.1.11"), IPv4Address("10.0.1.12")
PORTS = range(20_000, 30_000)
PASS = Verdict(action=Action.PASS)
SERVER = real(21)
ONE = service(SERVER, method=FULLNAT)
NAMES = service(real(21, port=53), listeners=(DNS,), method=FULLNAT)


def sent_on(flow: Flow, flags: TcpFlags = NONE, *, payload: bytes = b"") -> Packet:
    """Send from the client; the packet as it leaves for the real server."""
    verdict = flow.send(flags, payload=payload)
    assert verdict.action is Action.FORWARD, verdict
    assert verdict.packet is not None
    return verdict.packet


def local_end(flow: Flow, flags: TcpFlags = SYN) -> Endpoint:
    """What the real server sees as the client."""
    packet = sent_on(flow, flags)
    return packet.source, packet.source_port


def reply_to(packet: Packet, flags: TcpFlags = NONE, *, payload: bytes = b"", ttl: int = 64) -> Packet:
    """What the real server answers a packet as it got it."""
    return replace(
        packet,
        source=packet.destination,
        source_port=packet.destination_port,
        destination=packet.source,
        destination_port=packet.source_port,
        flags=flags,
        payload=payload,
        ttl=ttl,
    )


def to_client(flow: Flow, reply: Packet) -> Verdict:
    """The verdict that brings a reply to the client in the listener's name."""
    return Verdict(
        action=Action.FORWARD,
        packet=replace(
            reply,
            source=flow.listener.address,
            source_port=flow.listener.port,
            destination=flow.client,
            destination_port=flow.port,
            ttl=reply.ttl - 1,
        ),
    )


@pytest.fixture
def lab(lab: ContractLab) -> ContractLab:
    """With a pool of local ends."""
    lab.use_local(LOCAL, ports=PORTS)
    return lab


@pytest.mark.parametrize("payload", [b"", b"x", b"odd", b"\xff" * 1000, bytes(range(256)) * 5])
@pytest.mark.parametrize(
    ("offered", "listener", "flags"), [(ONE, HTTP, SYN), (NAMES, DNS, NONE)], ids=["tcp", "udp"]
)
def test_a_request_goes_from_the_routers_address_to_the_real_server(
    lab: ContractLab, offered, listener, flags, payload
):
    lab.put(offered)
    flow = lab.flow(listener=listener)
    packet = sent_on(flow, flags, payload=payload)
    server = offered.destinations[0]
    assert packet == replace(
        flow.request(flags, payload=payload),
        source=LOCAL,
        source_port=packet.source_port,
        destination=server.address,
        destination_port=server.port,
        ttl=63,
    )
    assert packet.source_port in PORTS


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00\xff" * 700])
@pytest.mark.parametrize(
    ("offered", "listener", "flags"), [(ONE, HTTP, SYN), (NAMES, DNS, NONE)], ids=["tcp", "udp"]
)
def test_a_reply_to_the_router_goes_to_the_client_in_the_listeners_name(
    lab: ContractLab, offered, listener, flags, payload
):
    lab.put(offered)
    flow = lab.flow(listener=listener)
    answer = flags | ACK if flags else NONE
    reply = reply_to(sent_on(flow, flags), answer, payload=payload)
    assert lab.send(reply) == to_client(flow, reply)


def test_a_connection_keeps_its_local_end(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    assert len({local_end(flow, flags) for flags in (SYN, ACK, ACK, FIN | ACK)}) == 1


def test_both_directions_move_the_state_and_are_counted(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    states = []
    lab.send(reply_to(sent_on(flow, SYN), SYN | ACK))
    states.append(flow.state)
    request = sent_on(flow, ACK)
    states.append(flow.state)
    lab.send(reply_to(request, FIN | ACK))
    states.append(flow.state)
    sent_on(flow, FIN | ACK)
    states.append(flow.state)
    assert states == ["syn_recv", "established", "fin_wait", "time_wait"]
    counted = lab.counted(SERVER)
    assert (counted.connections, counted.packets_in, counted.packets_out) == (1, 3, 2)


def test_the_connection_names_the_real_server(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    found = flow.connection()
    assert found is not None
    assert (found.client, found.real) == ((flow.client, flow.port), SERVER.endpoint)


def test_connections_to_one_real_server_have_different_local_ends(lab: ContractLab):
    lab.put(ONE)
    ends = [local_end(lab.flow(number)) for number in range(200)]
    assert len(set(ends)) == 200


def test_replies_find_their_own_client(lab: ContractLab):
    lab.put(ONE)
    flows = [lab.flow(number, client=IPv4Address("198.51.100.7") + number % 3) for number in range(20)]
    packets = [sent_on(flow, SYN) for flow in flows]
    for flow, packet in zip(flows, packets, strict=True):
        reply = reply_to(packet, SYN | ACK)
        assert lab.send(reply) == to_client(flow, reply)


def test_a_client_port_may_talk_to_two_listeners_of_one_real_server(lab: ContractLab):
    """Under nat the replies would look alike."""
    lab.put(service(SERVER, listeners=(HTTP, HTTPS), method=FULLNAT))
    flows = [lab.flow(listener=listener) for listener in (HTTP, HTTPS)]
    packets = [sent_on(flow, SYN) for flow in flows]
    assert packets[0].source_port != packets[1].source_port
    for flow, packet in zip(flows, packets, strict=True):
        reply = reply_to(packet, SYN | ACK)
        assert lab.send(reply) == to_client(flow, reply)


def test_several_addresses_are_all_used(lab: ContractLab):
    lab.use_local(LOCAL, SECOND, ports=PORTS)
    lab.put(ONE)
    assert {local_end(lab.flow(number))[0] for number in range(50)} == {LOCAL, SECOND}


def test_when_every_local_end_is_taken_new_connections_are_dropped(lab: ContractLab):
    lab.use_local(LOCAL, SECOND, ports=range(20_000, 20_004))
    lab.put(ONE)
    ends = {local_end(lab.flow(number)) for number in range(8)}
    assert ends == {(address, port) for address in (LOCAL, SECOND) for port in range(20_000, 20_004)}
    assert lab.flow(8).send(SYN) == drop(Drop.NO_LOCAL_PORT)
    assert lab.drops() == {Drop.NO_LOCAL_PORT: 1}
    assert lab.flow(8).connection() is None
    assert lab.gauges(SERVER) == (8, 0)
    assert lab.totals().connections == 8
    assert lab.dataplane.counters().local_ports_held == 8


def test_a_local_port_serves_several_real_servers_at_once(lab: ContractLab):
    lab.use_local(LOCAL, ports=range(20_000, 20_001))
    lab.put(service(real(21), real(22), real(21, port=8081), method=FULLNAT))
    flows = [lab.flow(number) for number in range(3)]
    packets = [sent_on(flow, SYN) for flow in flows]
    assert {(packet.source, packet.source_port) for packet in packets} == {(LOCAL, 20_000)}
    for flow, packet in zip(flows, packets, strict=True):
        reply = reply_to(packet, SYN | ACK)
        assert lab.send(reply) == to_client(flow, reply)


def test_tcp_and_udp_have_local_ports_of_their_own(lab: ContractLab):
    lab.use_local(LOCAL, ports=range(20_000, 20_001))
    lab.put(
        service(real(21, port=53), method=FULLNAT),
        service(real(21, port=53), listeners=(DNS,), method=FULLNAT, name="dns"),
    )
    assert local_end(lab.flow()) == local_end(lab.flow(listener=DNS), NONE) == (LOCAL, 20_000)


@pytest.mark.parametrize(
    ("flags", "seconds"),
    [((SYN,), 61), ((SYN, ACK), 901), ((SYN, ACK, RST), 11)],
    ids=["half-open", "idle", "reset"],
)
def test_a_local_port_is_free_again_when_its_connection_has_expired(lab: ContractLab, flags, seconds):
    lab.use_local(LOCAL, ports=range(20_000, 20_001))
    lab.put(ONE)
    for each in flags:
        assert local_end(lab.flow(1), each) == (LOCAL, 20_000)
    assert lab.flow(2).send(SYN) == drop(Drop.NO_LOCAL_PORT)
    lab.advance(seconds)
    lab.dataplane.sweep()
    assert lab.dataplane.counters().local_ports_held == 0
    assert local_end(lab.flow(2)) == (LOCAL, 20_000)


def test_a_client_that_uses_its_port_again_gets_a_local_end_again(lab: ContractLab):
    """Its closed connection gives back the only one there is."""
    lab.use_local(LOCAL, ports=range(20_000, 20_001))
    lab.put(ONE)
    flow = lab.flow()
    for flags in (SYN, ACK, RST):
        sent_on(flow, flags)
    assert flow.state == "close"
    packet = sent_on(flow, SYN)
    assert (packet.source, packet.source_port) == (LOCAL, 20_000)
    reply = reply_to(packet, SYN | ACK)
    assert lab.send(reply) == to_client(flow, reply)


def test_a_udp_flow_leaves_a_real_server_that_is_down_with_a_local_end_there(lab: ContractLab):
    both = (real(21, port=53), real(22, port=53))
    lab.put(service(*both, listeners=(DNS,), method=FULLNAT))
    flow = lab.flow(listener=DNS)
    first = sent_on(flow)
    down, other = both if first.destination == both[0].address else reversed(both)
    lab.put(service(replace(down, available=False), other, listeners=(DNS,), method=FULLNAT))
    second = sent_on(flow)
    assert second.destination == other.address
    assert lab.send(reply_to(first)) == PASS
    reply = reply_to(second)
    assert lab.send(reply) == to_client(flow, reply)


def test_what_comes_to_a_local_address_for_no_connection_is_the_hosts(lab: ContractLab):
    """From the real server's other port, from a stranger, to another port, to another address."""
    lab.put(ONE)
    packet = sent_on(lab.flow(), SYN)
    right = reply_to(packet, SYN | ACK)
    for wrong in (
        replace(right, source_port=right.source_port + 1),
        replace(right, source=IPv4Address("10.0.1.99")),
        replace(right, destination_port=right.destination_port + 1),
        replace(right, destination=SECOND),
    ):
        assert lab.send(wrong) == PASS


def test_a_reply_to_an_expired_connection_is_the_hosts(lab: ContractLab):
    lab.put(ONE)
    packet = sent_on(lab.flow(), SYN)
    lab.advance(61)
    assert lab.send(reply_to(packet, SYN | ACK)) == PASS


def test_what_the_real_server_sends_to_the_client_itself_is_no_reply(lab: ContractLab):
    lab.put(ONE)
    flow = lab.flow()
    flow.send(SYN)
    assert lab.send(flow.reply(SERVER.endpoint, SYN | ACK)) == PASS


def test_a_reply_at_the_end_of_its_life_is_dropped(lab: ContractLab):
    lab.put(ONE)
    packet = sent_on(lab.flow(), SYN)
    assert lab.send(reply_to(packet, SYN | ACK, ttl=1)) == drop(Drop.TTL_EXCEEDED)


def test_without_a_pool_new_connections_are_dropped(lab: ContractLab):
    lab.use_local(ports=PORTS)
    lab.put(ONE)
    assert lab.flow().send(SYN) == drop(Drop.NO_LOCAL_PORT)


def test_a_connection_keeps_its_local_end_when_the_pool_changes(lab: ContractLab):
    lab.put(ONE)
    old, new = lab.flow(1), lab.flow(2)
    packet = sent_on(old, SYN)
    lab.use_local(SECOND, ports=range(1024, 2048))
    reply = reply_to(packet, SYN | ACK)
    assert lab.send(reply) == to_client(old, reply)
    assert local_end(old, ACK) == (packet.source, packet.source_port)
    address, port = local_end(new)
    assert (address, port in range(1024, 2048)) == (SECOND, True)


def test_a_virtual_server_may_mix_fullnat_with_other_methods(lab: ContractLab):
    by_nat, by_fullnat = real(21), real(22, method=FULLNAT)
    lab.put(service(by_nat, by_fullnat))
    assert lab.flow(1).established() == by_nat.endpoint
    assert local_end(lab.flow(2))[0] == LOCAL
    assert lab.installed().services["www"].destinations == (by_nat, by_fullnat)


def test_what_is_installed_is_read_back_with_its_method(lab: ContractLab):
    wanted = service(real(21), real(22, method=ForwardingMethod.NAT), method=FULLNAT)
    lab.put(wanted)
    assert plan(DataplaneState(services={"www": wanted}), lab.installed()) == ()
    assert lab.installed().services["www"].method is FULLNAT


def test_a_real_server_on_the_listeners_own_port_is_reached_and_answers_there(lab: ContractLab):
    lab.use_local(LOCAL, ports=range(20_000, 20_001))
    lab.put(service(real(21, port=0), listeners=(HTTP, HTTPS), method=FULLNAT))
    flows = [lab.flow(listener=listener) for listener in (HTTP, HTTPS)]
    for flow in flows:
        packet = sent_on(flow, SYN)
        assert (packet.source_port, packet.destination_port) == (20_000, flow.listener.port)
        reply = reply_to(packet, SYN | ACK)
        assert lab.send(reply) == to_client(flow, reply)
        found = flow.connection()
        assert found is not None
        assert found.real == (SERVER.address, flow.listener.port)
    lab.advance(61)
    lab.dataplane.sweep()
    assert local_end(lab.flow(3)) == (LOCAL, 20_000)
