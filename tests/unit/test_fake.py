"""The dataplane in memory, where the contract leaves it a choice."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import schedulers
from shoal.dataplane.base import Attachment, DataplaneState, Drop, PutService, RemoveService
from shoal.dataplane.fake import FakeDataplane
from shoal.dataplane.packet import Action, Packet, TcpFlags, drop
from shoal.errors import NotFoundError
from shoal.model import Protocol
from support.dataplanes import FakeUnderTest
from support.flows import ACK, CLIENT, DNS, HTTP, HTTPS, NONE, SYN, VIP, ContractLab, real, service


class SmallFake(FakeUnderTest):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self.dataplane = FakeDataplane(max_connections=limit)


def lab_of(limit: int = 1024) -> ContractLab:
    return ContractLab(SmallFake(limit))


def test_the_oldest_half_open_connection_gives_way_in_a_full_table():
    lab = lab_of(3)
    lab.put(service(real(21)))
    lab.flow(0).established()
    for number in (1, 2, 3):
        lab.flow(number).reached(SYN)
    assert [lab.flow(number).state for number in range(4)] == ["established", "", "syn_recv", "syn_recv"]


def test_expired_connections_give_way_before_half_open_ones():
    lab = lab_of(2)
    lab.put(service(real(21), listeners=(HTTP, DNS)))
    lab.flow(0, DNS).reached()
    lab.advance(290)
    lab.flow(1).reached(SYN)
    lab.advance(11)
    lab.flow(2).reached(SYN)
    assert [lab.flow(number).state for number in (1, 2)] == ["syn_recv", "syn_recv"]


def test_a_table_full_of_established_connections_refuses_exactly_at_its_limit():
    lab = lab_of(2)
    lab.put(
        service(real(21), listeners=(HTTP, HTTPS))
    )  # replies have no one name, so none goes without an entry
    for number in (0, 1):
        lab.flow(number).established()
    assert lab.flow(2).send(SYN) == drop(Drop.TABLE_FULL)
    counters = lab.dataplane.counters()
    assert (counters.connections_held, counters.connections_limit) == (2, 2)


def test_drops_of_a_removed_service_belong_to_none():
    lab = lab_of()
    lab.put(service(real(21)))
    flow = lab.flow()
    flow.established()
    lab.remove()
    assert lab.send(flow.request(ACK, ttl=1)) == drop(Drop.TTL_EXCEEDED)
    assert lab.dataplane.counters().drops == {Drop.TTL_EXCEEDED: 1}


def test_a_service_that_comes_back_counts_from_zero_but_knows_its_connections():
    lab = lab_of()
    lab.put(service(real(21)))
    lab.flow().established()
    lab.remove()
    lab.put(service(real(21)))
    counted = lab.counted(real(21))
    assert (counted.active, counted.connections, counted.packets_in) == (1, 0, 0)


def test_a_udp_flow_leaves_a_real_server_that_was_removed():
    lab = lab_of()
    lab.put(service(real(21), real(22), listeners=(DNS,)))
    flow = lab.flow(listener=DNS)
    assert flow.reached() == real(21).endpoint
    lab.put(service(real(22), listeners=(DNS,)))
    assert flow.reached() == real(22).endpoint


def test_an_unknown_scheduler_changes_nothing():
    dataplane = FakeDataplane()
    with pytest.raises(NotFoundError):
        dataplane.apply([PutService(service=service(real(21), scheduler="maglev"))])
    assert dataplane.actual() == DataplaneState()


def test_attachments_are_those_it_was_made_with():
    attachment = Attachment(interface="eth0", hook="memory", reason="asked for")
    assert FakeDataplane(attachments=(attachment,)).attachments() == (attachment,)


def test_removing_it_takes_everything_away_and_closing_nothing():
    lab = lab_of()
    lab.put(service(real(21)))
    lab.flow().established()
    lab.dataplane.close()
    assert lab.flow().state == "established"
    lab.dataplane.remove()
    assert lab.dataplane.actual() == DataplaneState()
    assert lab.flow().state == ""
    assert lab.dataplane.counters().connections_held == 0


def test_time_does_not_go_back():
    dataplane = FakeDataplane()
    dataplane.apply([PutService(service=service(real(21)))])
    packet = lab_of().flow().request(SYN)
    dataplane.forward(packet, now=100.0)
    dataplane.advance(50.0)
    (connection,) = dataplane.connections(limit=1)
    assert connection.expires_in == 60.0


FLAGS = st.sampled_from([SYN, ACK, SYN | ACK, TcpFlags.FIN | ACK, TcpFlags.RST, NONE])
REQUESTS = st.builds(
    Packet,
    source=st.just(CLIENT),
    source_port=st.integers(1, 3),
    destination=st.just(VIP),
    destination_port=st.sampled_from([80, 443, 53]),
    protocol=st.sampled_from(Protocol),
    flags=FLAGS,
    ttl=st.sampled_from([64, 1]),
)
REPLIES = st.builds(
    Packet,
    source=st.sampled_from([real(21).address, real(22).address]),
    source_port=st.just(8080),
    destination=st.just(CLIENT),
    destination_port=st.integers(1, 3),
    protocol=st.sampled_from(Protocol),
    flags=FLAGS,
)
DESTINATIONS = st.tuples(
    st.builds(real, st.just(21), weight=st.integers(0, 2), available=st.booleans()),
    st.builds(real, st.just(22), weight=st.integers(0, 2), available=st.booleans()),
)
PUTS = st.builds(
    lambda destinations, scheduler: PutService(
        service=service(*destinations, listeners=(HTTP, HTTPS, DNS), scheduler=scheduler)
    ),
    DESTINATIONS,
    st.sampled_from(schedulers.names()),
)
EVENTS = st.lists(
    REQUESTS | REPLIES | PUTS | st.just(RemoveService(name="www")) | st.floats(0, 200), max_size=40
)


def recounted(dataplane: FakeDataplane, endpoint: tuple[IPv4Address, int]) -> tuple[int, int]:
    dataplane.sweep()
    states = [str(each.state) for each in dataplane.connections(limit=100) if each.real == endpoint]
    active = sum(state in ("established", "syn_sent", "syn_recv", "synack") for state in states)
    return active, len(states) - active


@given(EVENTS)
def test_whatever_happens_the_counts_are_exact_and_replies_are_unambiguous(events):
    dataplane, now = FakeDataplane(max_connections=3), 0.0
    dataplane.apply([PutService(service=service(real(21), real(22), listeners=(HTTP, HTTPS, DNS)))])
    for event in events:
        if isinstance(event, float):
            now += event
            dataplane.advance(now)
        elif isinstance(event, Packet):
            verdict = dataplane.forward(event, now=now)
            assert (verdict.packet is not None) == (verdict.action is Action.FORWARD)
            assert (verdict.reason is not None) == (verdict.action is Action.DROP)
        else:
            dataplane.apply([event])
        dataplane.sweep()
        connections = list(dataplane.connections(limit=100))
        assert dataplane.counters().connections_held == len(connections) <= 3
        assert len({(each.protocol, each.client, each.real) for each in connections}) == len(connections)
        for counters in dataplane.counters().services.values():
            for endpoint, counted in counters.destinations.items():
                assert (counted.active, counted.inactive) == recounted(dataplane, endpoint)


@given(EVENTS, REQUESTS)
def test_what_is_forwarded_comes_back_as_it_was_sent(events, request):
    dataplane = FakeDataplane()
    dataplane.apply([PutService(service=service(real(21), real(22), listeners=(HTTP, HTTPS, DNS)))])
    for event in events:
        if isinstance(event, Packet):
            dataplane.forward(event, now=0.0)
    verdict = dataplane.forward(request, now=0.0)
    if verdict.packet is None:
        return
    there = verdict.packet
    answer = replace(
        there,
        source=there.destination,
        source_port=there.destination_port,
        destination=there.source,
        destination_port=there.source_port,
    )
    back = dataplane.forward(answer, now=0.0).packet
    assert back is not None
    assert (back.source, back.source_port) == (request.destination, request.destination_port)
    assert (back.destination, back.destination_port) == (request.source, request.source_port)
