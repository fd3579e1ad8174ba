"""Connection thresholds of real servers, seen through packets."""

import random
from dataclasses import replace

import pytest

from shoal.dataplane.base import Destination, Drop
from shoal.schedulers import Load, Request, names, scheduler_class
from support.flows import ACK, CLIENT, DNS, FIN, SYN, VIP, ContractLab, real, service

FIRST, SECOND = real(21), real(22)


def limited(destination: Destination, upper: int, lower: int = 0) -> Destination:
    return replace(destination, upper_threshold=upper, lower_threshold=lower)


def reached(lab: ContractLab, numbers: range) -> str:
    """Last digits of the real servers that new connections go to; - for none."""
    verdicts = [lab.flow(n).send(SYN) for n in numbers]
    return "".join(str(each.packet.destination)[-1] if each.packet else "-" for each in verdicts)


def close(lab: ContractLab, numbers: range) -> None:
    """Reset so many connections, and let their last state's time pass."""
    for number in numbers:
        flow = lab.flow(number)
        flow.reached(ACK)
        flow.reached(FIN | ACK)
    lab.advance(70)
    lab.dataplane.sweep()


@pytest.mark.parametrize("scheduler", ["rr", "wrr"])
def test_a_real_server_with_as_many_connections_as_its_upper_threshold_gets_no_more(
    lab: ContractLab, scheduler
):
    lab.put(service(limited(FIRST, 3), SECOND, scheduler=scheduler))
    assert reached(lab, range(10)) == "1212122222"
    assert lab.counted(FIRST).overloaded
    assert not lab.counted(SECOND).overloaded


@pytest.mark.parametrize("scheduler", [each for each in names() if each not in ("dh", "sh", "mh")])
def test_every_scheduler_passes_over_who_is_overloaded(lab: ContractLab, scheduler):
    lab.put(service(limited(real(21, weight=9), 2), real(22, weight=3), scheduler=scheduler))
    found = reached(lab, range(4))
    assert found.count("1") <= 2
    assert "-" not in found


@pytest.mark.parametrize("scheduler", names())
def test_when_all_are_overloaded_new_connections_are_refused(lab: ContractLab, scheduler):
    lab.put(service(limited(FIRST, 1), scheduler=scheduler))
    assert reached(lab, range(3)) == "1--"
    assert lab.drops() == {Drop.NO_REAL_SERVER: 2}
    assert lab.flow(0).reached(ACK) == FIRST.endpoint
    close(lab, range(1))
    assert reached(lab, range(10, 12)) == "1-"


@pytest.mark.parametrize(("left", "expected"), [(3, SECOND), (2, FIRST)])
def test_it_gets_new_ones_again_below_three_quarters_of_its_upper_threshold(lab: ContractLab, left, expected):
    lab.put(service(limited(real(21, weight=9), 4), SECOND, listeners=(DNS,), scheduler="fo"))
    flows = [lab.flow(number, DNS) for number in range(5)]
    assert [str(flow.reached()[0])[-1] for flow in flows] == ["1", "1", "1", "1", "2"]
    lab.advance(200)
    for flow in flows[:left]:
        flow.reached()
    lab.advance(110)
    lab.dataplane.sweep()
    assert lab.gauges(FIRST) == (0, left)
    assert lab.flow(10, DNS).reached() == expected.endpoint


def test_it_gets_new_ones_again_below_the_lower_threshold_and_not_before(lab: ContractLab):
    lab.put(service(limited(real(21, weight=9), 4, 2), SECOND, listeners=(DNS,), scheduler="fo"))
    flows = [lab.flow(number, DNS) for number in range(5)]
    assert [str(flow.reached()[0])[-1] for flow in flows] == ["1", "1", "1", "1", "2"]
    lab.advance(200)
    for flow in flows[2:4]:
        flow.reached()
    lab.advance(110)
    lab.dataplane.sweep()
    assert lab.gauges(FIRST) == (0, 2)
    assert lab.flow(10, DNS).reached() == SECOND.endpoint
    lab.advance(10)
    flows[3].reached()
    lab.advance(200)
    lab.dataplane.sweep()
    assert lab.gauges(FIRST) == (0, 1)
    assert lab.flow(11, DNS).reached() == FIRST.endpoint


def test_a_change_of_state_is_no_end_of_a_connection(lab: ContractLab):
    lab.put(service(limited(real(21, weight=9), 1), SECOND, scheduler="fo"))
    flow = lab.flow(0)
    flow.established()
    flow.reached(FIN | ACK)
    assert lab.gauges(FIRST) == (0, 1)
    assert reached(lab, range(1, 2)) == "2"


def test_a_higher_threshold_lets_new_ones_in_at_once(lab: ContractLab):
    lab.put(service(limited(real(21, weight=9), 2), SECOND, scheduler="fo"))
    assert reached(lab, range(3)) == "112"
    lab.put(service(limited(real(21, weight=9), 4), SECOND, scheduler="fo"))
    assert reached(lab, range(3, 6)) == "112"
    lab.put(service(real(21, weight=9), SECOND, scheduler="fo"))
    assert reached(lab, range(6, 9)) == "111"


def test_a_lower_threshold_than_it_has_connections_keeps_new_ones_away_at_once(lab: ContractLab):
    lab.put(service(real(21, weight=9), SECOND, scheduler="fo"))
    assert reached(lab, range(3)) == "111"
    lab.put(service(limited(real(21, weight=9), 2), SECOND, scheduler="fo"))
    assert lab.counted(FIRST).overloaded
    assert reached(lab, range(3, 5)) == "22"


@pytest.mark.parametrize("scheduler", [each for each in names() if each != "twos"])
def test_every_decision_between_thresholds_equals_the_reference(lab: ContractLab, scheduler):
    rng = random.Random(scheduler)
    destinations = [
        limited(
            real(21 + n, weight=rng.choice((0, 1, 2, 3, 7))), *rng.choice(((0, 0), (2, 0), (4, 2), (6, 0)))
        )
        for n in range(5)
    ]
    flags = (f"{scheduler}-fallback",) if scheduler in ("sh", "mh") else ()
    lab.put(service(*destinations, scheduler=scheduler, flags=flags))
    reference = scheduler_class(scheduler)(flags=flags)
    open_flows = []
    for number in range(120):
        counts = [lab.counted(each) for each in destinations]
        loads = [
            Load(
                weight=each.weight,
                active=found.active,
                inactive=found.inactive,
                overloaded=found.overloaded,
                address=each.address,
                port=each.port,
            )
            for each, found in zip(destinations, counts, strict=True)
        ]
        flow = lab.flow(number, client=CLIENT + rng.randrange(1000))
        request = Request(client=flow.client, client_port=flow.port, virtual_address=VIP)
        index = reference.choose(loads, request)
        if index is None:
            assert flow.send(SYN).reason is Drop.NO_REAL_SERVER
        else:
            assert flow.reached(SYN) == destinations[index].endpoint
            open_flows.append(flow)
        if open_flows and rng.random() < 0.6:
            open_flows.pop(rng.randrange(len(open_flows))).reached(FIN | ACK)
        if number % 40 == 39:
            lab.advance(121)
            lab.dataplane.sweep()
            open_flows.clear()


def test_thresholds_are_read_back(lab: ContractLab):
    wanted = service(limited(FIRST, 5, 3), limited(SECOND, 2**32 - 1), real(23))
    lab.put(wanted)
    assert lab.installed().services["www"] == wanted
    lab.put(service(FIRST, SECOND))
    assert lab.installed().services["www"] == service(FIRST, SECOND)
