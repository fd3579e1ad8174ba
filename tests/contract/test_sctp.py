"""SCTP: associations by every method that leaves their ports alone (RFC 9260; states of IPVS)."""

from dataclasses import replace

import pytest

from shoal.dataplane.base import Drop
from shoal.dataplane.packet import Action, IcmpError, Packet, Quote
from shoal.model import ForwardingMethod
from shoal.model.sctp_states import SctpChunk
from support.flows import ACK, CLIENT, HTTP, M3UA, SYN, ContractLab, Endpoint, Flow, real, service

PORT = M3UA.port
TWO = service(real(21, port=PORT), real(22, port=PORT), listeners=(M3UA,))
SERVERS = {real(21, port=PORT).endpoint, real(22, port=PORT).endpoint}
DATA = b"sixteen bytes..."


def reached(flow: Flow, chunk: SctpChunk, *, payload: bytes = b"") -> Endpoint:
    """Send a chunk from the client; the real server that it went to."""
    verdict = flow.lab.send(flow.request(payload=payload, chunk=chunk))
    assert verdict.action is Action.FORWARD, verdict
    assert verdict.packet is not None
    assert (verdict.packet.chunk, verdict.packet.payload) == (chunk, payload)
    return verdict.packet.destination, verdict.packet.destination_port


def answered(flow: Flow, server: Endpoint, chunk: SctpChunk) -> None:
    """Send a chunk from the real server; it must arrive in the name of the listener."""
    packet = flow.reply(server, chunk=chunk)
    virtual = replace(packet, source=M3UA.address, source_port=M3UA.port, ttl=63)
    assert flow.lab.send(packet).packet == virtual


def established(flow: Flow) -> Endpoint:
    """Set an association up; the real server."""
    server = reached(flow, SctpChunk.INIT)
    answered(flow, server, SctpChunk.INIT_ACK)
    assert reached(flow, SctpChunk.COOKIE_ECHO, payload=DATA) == server
    answered(flow, server, SctpChunk.COOKIE_ACK)
    assert flow.state == "sctp_established"
    return server


def test_an_association_stays_on_its_real_server(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(1, M3UA)
    server = established(flow)
    assert server in SERVERS
    assert [reached(flow, SctpChunk.DATA, payload=DATA) for _ in range(3)] == [server] * 3
    answered(flow, server, SctpChunk.SACK)
    active = {each: lab.gauges(real(each, port=PORT)) for each in (21, 22)}
    assert sorted(active.values()) == [(0, 0), (1, 0)]


def test_an_association_is_shut_down(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(1, M3UA)
    server = established(flow)
    reached(flow, SctpChunk.SHUTDOWN)
    assert flow.state == "sctp_shutdown_received"
    answered(flow, server, SctpChunk.SHUTDOWN_ACK)
    reached(flow, SctpChunk.SHUTDOWN_COMPLETE)
    assert flow.state == "sctp_closed"
    assert sum(sum(lab.gauges(real(each, port=PORT))) for each in (21, 22)) == 1


def test_a_port_is_used_again_after_the_association_is_over(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(1, M3UA)
    first = established(flow)
    reached(flow, SctpChunk.ABORT)
    assert flow.state == "sctp_closed"
    assert reached(flow, SctpChunk.INIT) in SERVERS - {first}


@pytest.mark.parametrize("method", [ForwardingMethod.DR, ForwardingMethod.TUNNEL])
def test_without_replies_the_clients_chunks_move_the_state(lab: ContractLab, method: ForwardingMethod):
    lab.put(replace(TWO, method=method))
    flow = lab.flow(1, M3UA)
    states = []
    for chunk in (SctpChunk.INIT, SctpChunk.COOKIE_ECHO, SctpChunk.SHUTDOWN_ACK):
        assert lab.send(flow.request(chunk=chunk)).action is Action.FORWARD
        states.append(flow.state)
    assert states == ["sctp_init1", "sctp_established", "sctp_closed"]


@pytest.mark.parametrize(
    "chunk", [SctpChunk.DATA, SctpChunk.COOKIE_ECHO, SctpChunk.ABORT, SctpChunk.INIT_ACK]
)
def test_only_an_init_opens(lab: ContractLab, chunk: SctpChunk):
    lab.put(TWO)
    assert lab.send(lab.flow(1, M3UA).request(chunk=chunk)).action is Action.PASS
    assert lab.flow(1, M3UA).state == ""


def test_an_association_is_picked_up_amid_where_that_is_wanted(lab: ContractLab):
    lab.put(replace(TWO, sloppy=True))
    flow = lab.flow(1, M3UA)
    server = reached(flow, SctpChunk.DATA, payload=DATA)
    assert flow.state == "sctp_established"
    assert reached(flow, SctpChunk.DATA) == server
    assert lab.send(lab.flow(2, M3UA).request(chunk=SctpChunk.ABORT)).action is Action.PASS


def test_an_init_that_nobody_answered_is_forgotten_soon(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(1, M3UA)
    reached(flow, SctpChunk.INIT)
    lab.advance(5)
    assert flow.state == ""


def test_a_listener_of_sctp_is_none_of_tcp(lab: ContractLab):
    lab.put(TWO)
    tcp = lab.flow(1, replace(HTTP, port=PORT))
    assert lab.send(tcp.request(SYN)).action is Action.PASS
    established(lab.flow(1, M3UA))
    assert lab.send(tcp.request(ACK)).action is Action.PASS


def test_an_error_about_an_association_finds_it(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(1, M3UA)
    server = established(flow)
    for cut in (0, 16):  # 16: only ports and tag are quoted
        inside = flow.request(payload=DATA[:8], chunk=SctpChunk.DATA)
        inside = replace(inside, destination=server[0], destination_port=server[1])
        error = Packet(
            source=server[0],
            destination=CLIENT,
            protocol=None,
            quote=Quote(error=IcmpError.TOO_BIG, packet=inside, cut=cut),
        )
        verdict = lab.send(error)
        assert verdict.action is Action.FORWARD, verdict
        assert verdict.packet is not None
        assert verdict.packet.source == M3UA.address
        assert verdict.packet.quote is not None
        assert verdict.packet.quote.packet.destination == M3UA.address
        assert verdict.packet.quote.packet.destination_port == PORT


def test_later_fragments_follow(lab: ContractLab):
    lab.put(TWO)
    flow = lab.flow(1, M3UA)
    server = established(flow)
    first = flow.request(payload=DATA, more_fragments=True, identification=7)
    later = flow.request(payload=DATA, fragment_offset=32, identification=7)
    for packet in (first, later):
        verdict = lab.send(packet)
        assert verdict.action is Action.FORWARD, verdict
        assert verdict.packet is not None
        assert verdict.packet.destination == server[0]


def test_a_service_without_real_servers_drops_an_init(lab: ContractLab):
    lab.put(service(real(21, port=PORT, weight=0), listeners=(M3UA,)))
    assert lab.send(lab.flow(1, M3UA).request(chunk=SctpChunk.INIT)).reason is Drop.NO_REAL_SERVER
