"""Persistence, seen through packets: who comes back to which real server, and until when."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from shoal.dataplane.base import Destination, Drop, Service
from shoal.model import Persistence, Template
from support.dataplanes import MAX_TEMPLATES
from support.flows import ACK, CLIENT, DNS, HTTP, HTTPS, SYN, ContractLab, real, service

FIRST, SECOND, THIRD = real(21), real(22), real(23)
OTHER = CLIENT + 1
FAR = IPv4Address("203.0.113.9")


def persistent(*destinations: Destination, persistence: Persistence | None = None, **fields) -> Service:
    return replace(service(*destinations, **fields), persistence=persistence or Persistence())


def reached(lab: ContractLab, numbers: range, *, client: IPv4Address = CLIENT) -> str:
    """Last digits of the real servers that new connections of one client go to."""
    return "".join(str(lab.flow(n, client=client).reached(SYN)[0])[-1] for n in numbers)


def test_the_new_connections_of_a_client_go_where_its_first_one_went(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, THIRD))
    assert reached(lab, range(4)) == "1111"
    assert reached(lab, range(4), client=OTHER) == "2222"
    assert reached(lab, range(10, 12)) == "11"


def test_a_client_keeps_its_real_server_over_all_listeners_and_protocols(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, listeners=(HTTP, HTTPS, DNS)))
    assert lab.flow(0, HTTP).reached(SYN) == FIRST.endpoint
    assert lab.flow(1, HTTPS).reached(SYN) == FIRST.endpoint
    assert lab.flow(2, DNS).reached() == FIRST.endpoint
    assert lab.flow(3, DNS, client=OTHER).reached() == SECOND.endpoint
    assert lab.flow(4, HTTPS, client=OTHER).reached(SYN) == SECOND.endpoint


def test_services_remember_apart(lab: ContractLab):
    lab.put(
        persistent(FIRST, SECOND),
        persistent(SECOND, FIRST, listeners=(HTTPS,), name="tls"),
    )
    assert lab.flow(0, HTTP).reached(SYN) == FIRST.endpoint
    assert lab.flow(1, HTTPS).reached(SYN) == SECOND.endpoint
    assert lab.flow(2, HTTPS).reached(SYN) == SECOND.endpoint


def test_the_clients_of_one_network_stay_together(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, persistence=Persistence(ipv4_prefix=24)))
    assert reached(lab, range(2), client=CLIENT) == "11"
    assert reached(lab, range(2), client=CLIENT + 100) == "11"
    assert reached(lab, range(2), client=FAR) == "22"


def test_a_client_is_forgotten_when_its_time_is_over(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, listeners=(DNS,), persistence=Persistence(timeout=600)))
    assert lab.flow(0, DNS).reached() == FIRST.endpoint
    lab.advance(590)
    assert lab.flow(1, DNS).reached() == FIRST.endpoint  # its time begins anew
    lab.advance(590)
    assert lab.flow(2, DNS).reached() == FIRST.endpoint
    lab.advance(610)
    lab.dataplane.sweep()
    assert list(lab.dataplane.templates(limit=10)) == []
    assert lab.flow(3, DNS).reached() == SECOND.endpoint


def test_a_client_is_remembered_while_one_of_its_connections_lives(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, persistence=Persistence(timeout=60)))
    flow = lab.flow(0)
    flow.established()
    lab.advance(100)
    assert flow.reached(ACK) == FIRST.endpoint
    lab.dataplane.sweep()
    assert reached(lab, range(1, 2)) == "1"
    lab.advance(1000)
    lab.dataplane.sweep()
    assert reached(lab, range(2, 3)) == "2"


def test_the_end_of_half_open_connections_ends_their_template_too(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, persistence=Persistence(timeout=10)))
    assert reached(lab, range(5)) == "11111"
    assert [each.connections for each in lab.dataplane.templates(limit=10)] == [5]
    lab.advance(70)
    lab.dataplane.sweep()
    assert list(lab.dataplane.templates(limit=10)) == []


def test_the_clients_of_a_real_server_that_is_down_are_scheduled_anew_for_good(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND))
    assert reached(lab, range(2)) == "11"
    lab.put(persistent(replace(FIRST, available=False), SECOND))
    assert reached(lab, range(2, 4)) == "22"
    lab.put(persistent(FIRST, SECOND))
    assert reached(lab, range(4, 6)) == "22"


@pytest.mark.parametrize(("expire_quiescent", "expected"), [(False, "11"), (True, "22")])
def test_the_clients_of_a_quiesced_real_server_come_back_unless_told_otherwise(
    lab: ContractLab, expire_quiescent, expected
):
    persistence = Persistence(expire_quiescent=expire_quiescent)
    lab.put(persistent(FIRST, SECOND, persistence=persistence))
    assert reached(lab, range(2)) == "11"
    lab.put(persistent(replace(FIRST, weight=0), SECOND, persistence=persistence))
    assert reached(lab, range(2, 4)) == expected
    assert reached(lab, range(4, 6), client=OTHER) == "22"


@pytest.mark.parametrize(("expire_removed", "expected"), [(False, "11"), (True, "22")])
def test_the_clients_of_a_removed_real_server_are_scheduled_anew_unless_told_otherwise(
    lab: ContractLab, expire_removed, expected
):
    persistence = Persistence(expire_removed=expire_removed)
    lab.put(persistent(FIRST, SECOND, persistence=persistence))
    lab.flow(0).established()
    lab.put(persistent(SECOND, persistence=persistence))
    assert reached(lab, range(2, 4)) == expected
    lab.advance(1000)
    lab.dataplane.sweep()
    assert reached(lab, range(4, 6)) == "22"


def test_persistence_goes_before_thresholds(lab: ContractLab):
    lab.put(persistent(replace(FIRST, upper_threshold=2), SECOND))
    assert reached(lab, range(4)) == "1111"
    assert reached(lab, range(2), client=OTHER) == "22"


def test_templates_survive_changes_of_the_service(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND))
    assert reached(lab, range(2)) == "11"
    lab.put(persistent(THIRD, SECOND, replace(FIRST, weight=7), scheduler="wlc"))
    assert reached(lab, range(2, 4)) == "11"


def test_templates_are_listed(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, persistence=Persistence(ipv4_prefix=24)))
    reached(lab, range(3))
    (found,) = lab.dataplane.templates(limit=10)
    assert replace(found, expires_in=0) == Template(
        virtual_server="www",
        network=ip_network("198.51.100.0/24"),
        real=FIRST.endpoint,
        expires_in=0,
        connections=3,
    )
    assert 299 < found.expires_in <= 300
    reached(lab, range(1), client=FAR)
    assert len(list(lab.dataplane.templates(limit=1))) == 1
    assert len(list(lab.dataplane.templates(limit=10))) == 2


def test_without_room_for_a_template_a_client_is_scheduled_all_the_same(lab: ContractLab):
    lab.put(persistent(FIRST, SECOND, listeners=(DNS,)))
    for number in range(MAX_TEMPLATES):
        lab.flow(number, DNS, client=FAR + number).reached()
    assert lab.totals().unpersisted == 0
    flows = [lab.flow(number, DNS, client=CLIENT) for number in range(4)]
    assert [str(flow.reached()[0])[-1] for flow in flows] == ["1", "2", "1", "2"]
    assert lab.totals().unpersisted == 4
    assert lab.drops() == {}
    lab.advance(700)
    lab.dataplane.sweep()
    flows = [lab.flow(number, DNS, client=CLIENT) for number in range(10, 14)]
    assert len({flow.reached() for flow in flows}) == 1
    assert lab.totals().unpersisted == 4


def test_a_refused_connection_leaves_no_count_in_the_template(lab: ContractLab):
    lab.put(persistent(FIRST, listeners=(HTTP, HTTPS)))
    lab.flow(0, HTTP).established()
    assert lab.flow(0, HTTPS).send(SYN).reason is Drop.REPLY_TUPLE_IN_USE
    assert [each.connections for each in lab.dataplane.templates(limit=10)] == [1]


@pytest.mark.parametrize(
    "persistence",
    [
        Persistence(),
        Persistence(timeout=2_592_000, ipv4_prefix=20, ipv6_prefix=112, expire_quiescent=True),
        Persistence(timeout=1, ipv4_prefix=1, expire_removed=False),
    ],
)
def test_persistence_is_read_back(lab: ContractLab, persistence):
    wanted = persistent(FIRST, persistence=persistence)
    lab.put(wanted)
    assert lab.installed().services["www"] == wanted
    lab.put(service(FIRST))
    assert lab.installed().services["www"] == service(FIRST)
