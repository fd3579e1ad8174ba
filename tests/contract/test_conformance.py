"""Every scheduler by every forwarding method, family and protocol: each choice is that of the pure reference.

What passed is written down (see conftest.py), and becomes docs/conformance.md.
"""

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import product

import pytest

from shoal.dataplane.base import Destination
from shoal.dataplane.packet import Action
from shoal.model import ForwardingMethod, Listener, Protocol
from shoal.schedulers import Load, Request, names, scheduler_class
from support.conformance import exists, opening_chunk, opening_flags
from support.dataplanes import DATAPLANES
from support.flows import CLIENT, VIP, ContractLab, real, service

WEIGHTS = (3, 1, 0, 2)
CLIENTS = 24
DRAWN = "twos"  # by chance: tests/bpf/test_schedulers.py compares its draws one by one
LOCAL_PORTS = range(20_000, 30_000)
LOOPBACK = IPv4Address("127.0.0.1")


def _combinations() -> list[tuple[str, str, ForwardingMethod, Protocol]]:
    """Every one that there is. XDP leaves it to TC to note what it passes to the router's own stack."""
    return [
        (dataplane, scheduler, method, protocol)
        for dataplane, scheduler, method, protocol in product(DATAPLANES, names(), ForwardingMethod, Protocol)
        if exists(method, protocol) and not (method is ForwardingMethod.LOCAL and "xdp" in dataplane)
    ]


def _destinations(method: ForwardingMethod, protocol: Protocol) -> tuple[Destination, ...]:
    """Real servers; those that can be reached on another port than the client asked for are.

    The router can be one of them only, so by local the others are reached by dr.
    """
    maps_ports = method in (ForwardingMethod.NAT, ForwardingMethod.FULLNAT) and protocol is not Protocol.SCTP
    port = 8080 if maps_ports else 80
    usual = [real(21 + n, port=port, weight=weight) for n, weight in enumerate(WEIGHTS)]
    if method is ForwardingMethod.LOCAL:
        others = [replace(each, method=ForwardingMethod.DR) for each in usual[1:]]
        return (replace(usual[0], address=LOOPBACK), *others)
    return tuple(usual)


class _Expected:
    """The reference, with the loads that its own choices make."""

    def __init__(self, scheduler: str, protocol: Protocol, destinations: tuple[Destination, ...]) -> None:
        self._scheduler = scheduler_class(scheduler)()
        self._field = "active" if protocol is Protocol.TCP else "inactive"
        self._loads = [
            Load(weight=each.weight, address=each.address, port=each.port) for each in destinations
        ]

    def choose(self, request: Request) -> int | None:
        index = self._scheduler.choose(self._loads, request)
        if index is not None:
            load = self._loads[index]
            self._loads[index] = replace(load, **{self._field: getattr(load, self._field) + 1})
        return index


def _taker(lab: ContractLab, before: list[int]) -> tuple[int | None, list[int]]:
    """Which destination has one connection more than before, and what each has now."""
    destinations = lab.totals().destinations.values()
    now = [each.connections for each in destinations]
    grown = [index for index, (new, old) in enumerate(zip(now, before, strict=True)) if new > old]
    assert len(grown) <= 1
    return (grown[0] if grown else None), now


@pytest.mark.parametrize(("lab", "scheduler", "method", "protocol"), _combinations(), indirect=["lab"])
def test_each_choice_is_that_of_the_reference(
    lab: ContractLab, scheduler: str, method: ForwardingMethod, protocol: Protocol
):
    listener = Listener(address=VIP, port=80, protocol=protocol)
    destinations = _destinations(method, protocol)
    lab.use_local(real(1).address, ports=LOCAL_PORTS)
    lab.put(service(*destinations, scheduler=scheduler, method=method, listeners=(listener,)))
    expected = _Expected(scheduler, protocol, destinations)
    counts = [0] * len(destinations)
    for number in range(CLIENTS):
        flow = lab.flow(number, listener, client=CLIENT + number % 5)
        verdict = lab.send(flow.request(opening_flags(protocol), chunk=opening_chunk(protocol)))
        taker, counts = _taker(lab, counts)
        keeps = method is ForwardingMethod.LOCAL and taker == 0
        served = Action.PASS if keeps else Action.FORWARD
        assert verdict.action is (Action.DROP if taker is None else served), verdict
        request = Request(client=flow.client, client_port=flow.port, virtual_address=VIP)
        wanted = expected.choose(request)
        if scheduler == DRAWN:
            assert taker is not None
            assert WEIGHTS[taker] > 0
        else:
            assert taker == wanted, f"connection {number + 1}"
