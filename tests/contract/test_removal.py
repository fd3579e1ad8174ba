"""Real servers that are removed or go down, and what then becomes of their connections."""

from dataclasses import replace

import pytest

from shoal.dataplane.base import Destination, Drop, Service
from shoal.model import Leaving, Persistence
from support.flows import ACK, DNS, FIN, HTTP, RST, SYN, ContractLab, real, service

FIRST, SECOND = real(21), real(22)
BOTH = (HTTP, DNS)


def cutting(*destinations: Destination, **fields: Leaving | int) -> Service:
    return replace(service(*destinations, listeners=BOTH), **fields)


def down(destination: Destination) -> Destination:
    return replace(destination, available=False)


def test_the_connections_of_a_removed_real_server_go_on_unless_told_otherwise(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND))
    flow = lab.flow(0)
    server = flow.established()
    lab.put(cutting(SECOND))
    assert flow.reached(ACK) == FIRST.endpoint
    flow.answered(server, ACK)


@pytest.mark.parametrize("last", [ACK, FIN | ACK])
def test_a_tcp_connection_of_a_removed_real_server_is_reset_when_told_so(lab: ContractLab, last):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    flow, other = lab.flow(0), lab.flow(1)
    flow.established()
    assert other.established() == SECOND.endpoint
    lab.put(cutting(SECOND, on_removal=Leaving.RESET))
    assert flow.send(last).reason is Drop.REMOVED
    assert flow.state == "close"
    assert flow.send(ACK).reason is Drop.REMOVED
    assert lab.drops() == {Drop.REMOVED: 2}
    assert other.reached(ACK) == SECOND.endpoint
    lab.advance(11)
    lab.dataplane.sweep()
    assert flow.state == ""


def test_a_connection_that_is_reset_may_begin_anew_elsewhere(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(SECOND, on_removal=Leaving.RESET))
    assert flow.send(ACK).reason is Drop.REMOVED
    assert flow.established() == SECOND.endpoint
    assert flow.reached(ACK) == SECOND.endpoint


def test_a_syn_on_a_cut_connection_is_scheduled_anew_at_once(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(SECOND, on_removal=Leaving.RESET))
    assert flow.reached(SYN) == SECOND.endpoint


def test_a_clients_own_reset_still_reaches_the_removed_real_server(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(SECOND, on_removal=Leaving.RESET))
    assert flow.reached(RST) == FIRST.endpoint
    assert lab.drops() == {}


def test_a_datagram_flow_of_a_removed_real_server_moves_when_told_so(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    flow = lab.flow(0, DNS)
    assert flow.reached() == FIRST.endpoint
    lab.put(cutting(SECOND, on_removal=Leaving.RESET))
    assert flow.reached() == SECOND.endpoint
    assert lab.gauges(SECOND) == (0, 1)
    assert lab.drops() == {}


def test_a_real_server_that_comes_back_has_its_connections_again(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(SECOND, on_removal=Leaving.RESET))
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    assert flow.reached(ACK) == FIRST.endpoint


def test_the_connections_of_a_real_server_that_is_down_are_kept_unless_told_otherwise(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(down(FIRST), SECOND))
    assert flow.reached(ACK) == FIRST.endpoint


def test_the_connections_of_a_real_server_that_is_down_are_reset_when_told_so(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_down=Leaving.RESET))
    flow, other = lab.flow(0), lab.flow(1)
    flow.established()
    assert other.established() == SECOND.endpoint
    lab.put(cutting(down(FIRST), SECOND, on_down=Leaving.RESET))
    assert flow.send(ACK).reason is Drop.REMOVED
    assert other.reached(ACK) == SECOND.endpoint
    lab.put(cutting(FIRST, SECOND, on_down=Leaving.RESET))
    third = lab.flow(2)
    assert third.established() == FIRST.endpoint
    assert third.reached(ACK) == FIRST.endpoint


def test_what_is_told_of_removal_does_not_hold_for_being_down(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.RESET))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(down(FIRST), SECOND, on_removal=Leaving.RESET))
    assert flow.reached(ACK) == FIRST.endpoint


@pytest.mark.parametrize("last", [ACK, FIN | ACK])
def test_a_connection_of_a_removed_real_server_moves_when_told_so(lab: ContractLab, last):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.MOVE))
    flow = lab.flow(0)
    assert flow.established() == FIRST.endpoint
    lab.put(cutting(SECOND, on_removal=Leaving.MOVE))
    assert flow.reached(last) == SECOND.endpoint
    assert flow.reached(ACK) == SECOND.endpoint
    flow.answered(SECOND.endpoint, ACK)
    assert lab.drops() == {}


def test_a_connection_of_a_real_server_that_is_down_moves_when_told_so(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_down=Leaving.MOVE))
    flow = lab.flow(0)
    assert flow.established() == FIRST.endpoint
    lab.put(cutting(down(FIRST), SECOND, on_down=Leaving.MOVE))
    assert flow.reached(ACK) == SECOND.endpoint
    assert (lab.gauges(FIRST), lab.gauges(SECOND)) == ((0, 0), (1, 0))
    lab.put(cutting(FIRST, SECOND, on_down=Leaving.MOVE))
    assert flow.reached(ACK) == SECOND.endpoint


def test_a_connection_has_nowhere_to_move_to(lab: ContractLab):
    lab.put(cutting(FIRST, on_down=Leaving.MOVE))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(down(FIRST), on_down=Leaving.MOVE))
    assert flow.send(ACK).reason is Drop.NO_REAL_SERVER


def test_a_clients_reset_does_not_move(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.MOVE))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(SECOND, on_removal=Leaving.MOVE))
    assert flow.reached(RST) == FIRST.endpoint


def test_a_cut_by_the_operator_resets_whatever_is_configured(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, on_removal=Leaving.MOVE, on_down=Leaving.MOVE))
    flow = lab.flow(0)
    flow.established()
    lab.put(cutting(draining(FIRST, cut=True), SECOND, on_removal=Leaving.MOVE, on_down=Leaving.MOVE))
    assert flow.send(ACK).reason is Drop.REMOVED


def test_connections_of_a_removed_real_server_end_when_their_time_is_over(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, drain_timeout=60))
    flow, other = lab.flow(0), lab.flow(1)
    assert flow.established() == FIRST.endpoint
    assert other.established() == SECOND.endpoint
    lab.put(cutting(SECOND, drain_timeout=60))
    lab.advance(58)
    lab.dataplane.sweep()
    assert flow.reached(ACK) == FIRST.endpoint
    lab.advance(3)
    lab.dataplane.sweep()
    assert flow.send(ACK).reason is Drop.REMOVED
    assert other.reached(ACK) == SECOND.endpoint


def test_a_real_server_that_comes_back_in_time_keeps_its_connections(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, drain_timeout=60))
    flow = lab.flow(0)
    assert flow.established() == FIRST.endpoint
    lab.put(cutting(SECOND, drain_timeout=60))
    lab.put(cutting(FIRST, SECOND, drain_timeout=60))
    lab.advance(61)
    lab.dataplane.sweep()
    assert flow.reached(ACK) == FIRST.endpoint


def test_another_change_does_not_prolong_a_drain(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND, drain_timeout=60))
    flow = lab.flow(0)
    assert flow.established() == FIRST.endpoint
    lab.put(cutting(SECOND, drain_timeout=60))
    lab.advance(40)
    lab.put(cutting(SECOND, drain_timeout=0))
    lab.advance(21)
    lab.dataplane.sweep()
    assert flow.send(ACK).reason is Drop.REMOVED


def test_the_connections_of_a_removed_service_end_when_their_time_is_over(lab: ContractLab):
    lab.put(cutting(FIRST, drain_timeout=60))
    flow = lab.flow(0)
    assert flow.established() == FIRST.endpoint
    lab.remove()
    lab.advance(58)
    lab.dataplane.sweep()
    assert flow.reached(ACK) == FIRST.endpoint
    lab.advance(3)
    lab.dataplane.sweep()
    assert flow.send(ACK).reason is Drop.REMOVED


def test_connections_of_a_removed_service_are_reset_when_told_so_and_counted_to_none(lab: ContractLab):
    lab.put(cutting(FIRST, on_removal=Leaving.RESET))
    flow = lab.flow(0)
    assert flow.established() == FIRST.endpoint
    lab.remove()
    for count in (1, 2):
        assert flow.send(ACK).reason is Drop.REMOVED
        assert lab.dataplane.counters().drops == {Drop.REMOVED: count}
    lab.advance(11)
    lab.dataplane.sweep()
    assert lab.dataplane.counters().drops == {Drop.REMOVED: 2}
    lab.put(service(FIRST))
    assert lab.drops() == {}


@pytest.mark.parametrize("removed", Leaving)
@pytest.mark.parametrize("is_down", Leaving)
def test_what_becomes_of_connections_is_read_back(lab: ContractLab, removed, is_down):
    wanted = cutting(FIRST, on_removal=removed, on_down=is_down, drain_timeout=600)
    lab.put(wanted)
    assert set(lab.installed().services["www"].listeners) == set(BOTH)
    assert replace(lab.installed().services["www"], listeners=BOTH) == wanted


# -- draining, which the operator asks for


def draining(destination: Destination, *, cut: bool = False) -> Destination:
    return replace(destination, weight=0, draining=True, cut=cut)


def test_a_draining_real_server_gets_nothing_new_even_of_persistent_clients(lab: ContractLab):
    sticky = Persistence()
    lab.put(replace(cutting(FIRST, SECOND), persistence=sticky))
    flow = lab.flow(0)
    assert flow.established() == FIRST.endpoint
    lab.put(replace(cutting(draining(FIRST), SECOND), persistence=sticky))
    assert lab.flow(1).reached(SYN) == SECOND.endpoint
    assert flow.reached(ACK) == FIRST.endpoint


def test_a_cut_ends_the_connections_of_a_draining_real_server(lab: ContractLab):
    lab.put(cutting(FIRST, SECOND))
    flow, datagrams = lab.flow(0), lab.flow(2, DNS)
    assert flow.established() == FIRST.endpoint
    lab.put(cutting(draining(FIRST, cut=True), SECOND))
    assert flow.send(ACK).reason is Drop.REMOVED
    assert datagrams.reached() == SECOND.endpoint
    lab.advance(11)
    assert lab.gauges(FIRST) == (0, 0)
    lab.put(cutting(FIRST, SECOND))
    assert {lab.flow(number).reached(SYN) for number in (3, 4)} == {FIRST.endpoint, SECOND.endpoint}


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("on_down", Leaving)
def test_draining_is_read_back(lab: ContractLab, cut, on_down):
    wanted = cutting(draining(down(FIRST), cut=cut), SECOND, on_down=on_down)
    lab.put(wanted)
    assert replace(lab.installed().services["www"], listeners=BOTH) == wanted
