"""Forwarding method fullnat for what is not a plain packet: ICMP errors and fragments."""

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import permutations

import pytest

from shoal.dataplane.packet import Action, IcmpError, Packet, Quote, Verdict, forward
from shoal.model import ForwardingMethod
from support.flows import ACK, DNS, HTTP, NONE, SYN, VIP, ContractLab, Flow, real, service

LOCAL = IPv4Address("10.0.1.11")
PORT = 20_000
PASS = Verdict(action=Action.PASS)
SERVER = real(21)
ONE = service(SERVER, listeners=(HTTP, DNS), method=ForwardingMethod.FULLNAT)
CLIENTS_ROUTER, SERVERS_ROUTER = IPv4Address("203.0.113.1"), IPv4Address("10.0.9.1")
ERRORS = [each for each in IcmpError if each is not IcmpError.REDIRECT]
LISTENERS = [HTTP, DNS]
PARTS, SIZE = 3, 64


@pytest.fixture
def lab(lab: ContractLab) -> ContractLab:
    """With one local port, so that every packet is known beforehand."""
    lab.use_local(LOCAL, ports=range(PORT, PORT + 1))
    lab.put(ONE)
    return lab


def begun(lab: ContractLab, listener=HTTP) -> Flow:
    """A flow with a connection."""
    flow = lab.flow(listener=listener)
    assert flow.reached(SYN if listener is HTTP else NONE) == SERVER.endpoint
    return flow


def an_error(about: Packet, sender: IPv4Address, *, error=IcmpError.UNREACHABLE, cut: int = 0, ttl: int = 60):
    """The error of a host on the way, to the sender of the packet."""
    quote = Quote(error=error, packet=about, cut=cut)
    return Packet(source=sender, destination=about.source, protocol=None, ttl=ttl, quote=quote)


def outside(flow: Flow) -> Packet:
    """A reply as the client's side sees it."""
    return replace(flow.reply((VIP, flow.listener.port), NONE, payload=bytes(20)), ttl=9)


def inside(flow: Flow) -> Packet:
    """A request as the real server's side sees it."""
    return replace(
        flow.request(NONE, payload=bytes(20), ttl=9),
        source=LOCAL,
        source_port=PORT,
        destination=SERVER.address,
        destination_port=SERVER.port,
    )


def turned(packet: Packet) -> Packet:
    """The same packet in the other direction."""
    return replace(
        packet,
        source=packet.destination,
        source_port=packet.destination_port,
        destination=packet.source,
        destination_port=packet.source_port,
    )


@pytest.mark.parametrize("listener", LISTENERS, ids=["tcp", "udp"])
@pytest.mark.parametrize("cut", [0, 20])
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_about_a_reply_reaches_the_real_server_as_if_from_the_router(
    lab: ContractLab, listener, error: IcmpError, cut: int
):
    flow = begun(lab, listener)
    expected = an_error(turned(inside(flow)), LOCAL, error=error, cut=cut, ttl=59)
    assert lab.send(an_error(outside(flow), CLIENTS_ROUTER, error=error, cut=cut)) == forward(expected)


@pytest.mark.parametrize("listener", LISTENERS, ids=["tcp", "udp"])
@pytest.mark.parametrize("cut", [0, 20])
@pytest.mark.parametrize("sender", [SERVER.address, SERVERS_ROUTER], ids=["server", "router"])
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_about_a_request_reaches_the_client_in_the_virtual_name(
    lab: ContractLab, listener, error: IcmpError, sender: IPv4Address, cut: int
):
    flow = begun(lab, listener)
    expected = an_error(turned(outside(flow)), VIP, error=error, cut=cut, ttl=59)
    assert lab.send(an_error(inside(flow), sender, error=error, cut=cut)) == forward(expected)


def test_an_error_about_what_the_router_itself_has_sent_is_the_hosts(lab: ContractLab):
    flow = begun(lab)
    probe = replace(inside(flow), source_port=PORT + 1)
    assert lab.send(an_error(probe, SERVER.address)) == PASS


def parts(whole: Packet) -> list[Packet]:
    """A datagram in fragments; the first carries the ports."""
    first = replace(whole, payload=bytes(SIZE - 8), more_fragments=True, identification=7)
    later = replace(first, source_port=0, destination_port=0, payload=bytes(SIZE))
    return [
        first,
        *(
            replace(later, fragment_offset=SIZE * place, more_fragments=place < PARTS - 1)
            for place in range(1, PARTS)
        ),
    ]


def outcomes(lab: ContractLab, packets: list[Packet]) -> list[Packet]:
    """All that is forwarded, at once or after waiting, by its place in the datagram."""
    sent = [lab.send(packet) for packet in packets]
    assert {verdict.action for verdict in sent} <= {Action.FORWARD, Action.HOLD}, sent
    found = [verdict.packet for verdict in (*sent, *lab.released()) if verdict.packet is not None]
    return sorted(found, key=lambda packet: packet.fragment_offset)


@pytest.mark.parametrize("order", list(permutations(range(PARTS))), ids=str)
def test_a_request_in_fragments_arrives_from_the_router_in_any_order(
    lab: ContractLab, order: tuple[int, ...]
):
    flow = lab.flow(listener=DNS)
    packets = parts(flow.request())
    expected = parts(replace(inside(flow), ttl=63))
    assert outcomes(lab, [packets[place] for place in order]) == expected
    assert lab.drops() == {}


@pytest.mark.parametrize("order", list(permutations(range(PARTS))), ids=str)
def test_a_reply_in_fragments_arrives_in_the_virtual_name_in_any_order(
    lab: ContractLab, order: tuple[int, ...]
):
    flow = begun(lab, DNS)
    packets = parts(replace(turned(inside(flow)), ttl=64))
    expected = parts(replace(outside(flow), ttl=63))
    assert outcomes(lab, [packets[place] for place in order]) == expected
    assert lab.counted(SERVER).packets_out == PARTS


def test_a_syn_in_fragments_opens_a_connection(lab: ContractLab):
    flow = lab.flow()
    first = replace(flow.request(SYN, payload=bytes(44)), more_fragments=True, identification=7)
    verdict = lab.send(first)
    assert verdict.packet is not None
    assert (verdict.packet.source, verdict.packet.source_port) == (LOCAL, PORT)
    assert flow.state == "syn_recv"
    flow.send(ACK)
    assert flow.state == "established"
