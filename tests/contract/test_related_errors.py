"""ICMP errors about balanced packets find their way to whoever sent those (RFC 792, RFC 4443, RFC 5508)."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Action, IcmpError, Packet, Quote, Verdict, drop, forward
from shoal.model import ForwardingMethod
from support.flows import ACK, CLIENT, DNS, HTTP, NONE, SYN, VIP, ContractLab, Flow, real, service

PASS = Verdict(action=Action.PASS)
ONE = service(real(21), listeners=(HTTP, DNS))
DIRECT = service(real(21, port=53), listeners=(DNS,), method=ForwardingMethod.DR)
CLIENTS_ROUTER = IPv4Address("203.0.113.1")
SERVERS_ROUTER = IPv4Address("10.0.9.1")
ERRORS = [each for each in IcmpError if each is not IcmpError.REDIRECT]
LISTENERS = [HTTP, DNS]
# whole; to what fits without the TCP checksum's last byte; to eight bytes behind the IP header
CUTS = [0, 23, 32]


def an_error(about: Packet, sender: IPv4Address, *, error=IcmpError.UNREACHABLE, cut: int = 0, ttl: int = 60):
    """The error of a host on the way, to the sender of the packet."""
    return Packet(
        source=sender,
        destination=about.source,
        protocol=None,
        ttl=ttl,
        quote=Quote(error=error, packet=about, cut=cut),
    )


def reply_outside(flow: Flow, payload: bytes = bytes(20)) -> Packet:
    """A reply as the client's side sees it."""
    return replace(flow.reply((VIP, flow.listener.port), NONE, payload=payload), ttl=9)


def request_inside(flow: Flow, server, payload: bytes = bytes(20)) -> Packet:
    """A request as the real server's side sees it."""
    return replace(
        flow.request(NONE, payload=payload), destination=server[0], destination_port=server[1], ttl=9
    )


def served(lab: ContractLab, listener=HTTP):
    """A connection, and its real server."""
    lab.put(ONE)
    flow = lab.flow(listener=listener)
    return flow, flow.established() if listener is HTTP else flow.reached()


@pytest.mark.parametrize("listener", LISTENERS, ids=["tcp", "udp"])
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_about_a_reply_reaches_the_real_server_as_if_about_its_own_packet(
    lab: ContractLab, listener, error: IcmpError
):
    flow, (address, port) = served(lab, listener)
    about = reply_outside(flow)
    arriving = an_error(about, CLIENTS_ROUTER, error=error)
    inside = replace(about, source=address, source_port=port)
    expected = an_error(inside, CLIENTS_ROUTER, error=error, ttl=59)
    assert lab.send(arriving) == forward(expected)


@pytest.mark.parametrize("listener", LISTENERS, ids=["tcp", "udp"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_reply_may_be_quoted_only_as_far_as_its_ports(lab: ContractLab, listener, cut: int):
    flow, (address, port) = served(lab, listener)
    cut -= 12 if cut and listener is DNS else 0
    about = reply_outside(flow)
    inside = replace(about, source=address, source_port=port)
    expected = an_error(inside, CLIENTS_ROUTER, cut=cut, ttl=59)
    assert lab.send(an_error(about, CLIENTS_ROUTER, cut=cut)) == forward(expected)


@pytest.mark.parametrize("listener", LISTENERS, ids=["tcp", "udp"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_about_a_request_reaches_the_client_in_the_virtual_name(
    lab: ContractLab, listener, cut: int, error: IcmpError
):
    flow, server = served(lab, listener)
    cut -= 12 if cut and listener is DNS else 0
    about = request_inside(flow, server)
    arriving = an_error(about, server[0], error=error, cut=cut)
    outside = replace(about, destination=VIP, destination_port=listener.port)
    assert lab.send(arriving) == forward(an_error(outside, VIP, error=error, cut=cut, ttl=59))


def test_a_router_before_the_real_server_is_hidden_behind_the_virtual_address(lab: ContractLab):
    flow, server = served(lab)
    about = request_inside(flow, server)
    outside = replace(about, destination=VIP, destination_port=80)
    expected = an_error(outside, VIP, error=IcmpError.TOO_BIG, ttl=59)
    assert lab.send(an_error(about, SERVERS_ROUTER, error=IcmpError.TOO_BIG)) == forward(expected)


def test_direct_routing_sends_an_error_about_a_reply_on_as_it_is(lab: ContractLab):
    lab.put(DIRECT)
    flow = lab.flow(listener=DNS)
    flow.reached()
    arriving = an_error(reply_outside(flow), CLIENTS_ROUTER, error=IcmpError.TOO_BIG)
    assert lab.send(arriving) == forward(replace(arriving, ttl=59))


def test_an_error_changes_neither_state_nor_deadline_but_is_counted(lab: ContractLab):
    flow, server = served(lab)
    before = lab.counted(real(21))
    lab.advance(100)
    arriving = an_error(reply_outside(flow), CLIENTS_ROUTER)
    assert lab.send(arriving).action is Action.FORWARD
    assert lab.send(an_error(request_inside(flow, server), server[0])).action is Action.FORWARD
    found = flow.connection()
    assert found is not None
    assert (found.state, round(found.expires_in)) == ("established", 800)
    after = lab.counted(real(21))
    assert after.packets_in == before.packets_in + 1
    assert after.bytes_in > before.bytes_in
    assert after.packets_out == before.packets_out + 1


def test_an_error_about_an_expired_connection_is_the_hosts(lab: ContractLab):
    flow, server = served(lab)
    lab.advance(1000)
    assert lab.send(an_error(reply_outside(flow), CLIENTS_ROUTER)) == PASS
    assert lab.send(an_error(request_inside(flow, server), server[0])) == PASS


def test_errors_about_unknown_connections_are_the_hosts(lab: ContractLab):
    flow, server = served(lab)
    other = lab.flow(1)
    assert lab.send(an_error(reply_outside(other), CLIENTS_ROUTER)) == PASS
    assert lab.send(an_error(request_inside(other, server), server[0])) == PASS
    assert lab.send(an_error(flow.request(ACK, payload=bytes(20)), CLIENTS_ROUTER)) == PASS


def test_an_error_that_is_addressed_to_another_than_the_quoted_sender_is_the_hosts(lab: ContractLab):
    flow, _ = served(lab)
    forged = replace(an_error(reply_outside(flow), CLIENTS_ROUTER), destination=IPv4Address("192.0.2.99"))
    assert lab.send(forged) == PASS


def test_a_redirect_is_the_hosts(lab: ContractLab):
    flow, _ = served(lab)
    assert lab.send(an_error(reply_outside(flow), CLIENTS_ROUTER, error=IcmpError.REDIRECT)) == PASS


def test_an_error_about_an_error_is_the_hosts(lab: ContractLab):
    flow, _ = served(lab)
    inner = an_error(reply_outside(flow), CLIENT)
    assert lab.send(an_error(replace(inner, source=VIP, destination=CLIENT), CLIENTS_ROUTER)) == PASS


def test_a_quoted_first_fragment_has_ports_and_a_later_one_has_none(lab: ContractLab):
    flow, (address, port) = served(lab, DNS)
    first = replace(reply_outside(flow), more_fragments=True)
    inside = replace(first, source=address, source_port=port)
    arriving = an_error(first, CLIENTS_ROUTER, error=IcmpError.TIME_EXCEEDED)
    expected = an_error(inside, CLIENTS_ROUTER, error=IcmpError.TIME_EXCEEDED, ttl=59)
    assert lab.send(arriving) == forward(expected)
    later = replace(first, fragment_offset=64, source_port=0, destination_port=0)
    assert lab.send(an_error(later, CLIENTS_ROUTER)) == PASS


def test_an_error_with_no_hops_left_is_dropped_by_name(lab: ContractLab):
    flow, _ = served(lab)
    lab.flow().send(SYN)
    assert lab.send(an_error(reply_outside(flow), CLIENTS_ROUTER, ttl=1)) == drop(Drop.TTL_EXCEEDED)
    assert lab.drops() == {Drop.TTL_EXCEEDED: 1}
