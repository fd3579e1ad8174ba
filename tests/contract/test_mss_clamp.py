"""A virtual server may lower the segment size that SYN and SYN-ACK announce."""

from dataclasses import replace

import pytest

from shoal.dataplane.base import DataplaneState, Service
from shoal.dataplane.packet import Packet
from shoal.dataplane.plan import plan
from shoal.model import ForwardingMethod
from support.flows import ACK, NONE, SYN, ContractLab, real, service

NAT, DR, TUNNEL = ForwardingMethod.NAT, ForwardingMethod.DR, ForwardingMethod.TUNNEL


def clamped(clamp: bool | int, method: ForwardingMethod = NAT) -> Service:
    """A service over one real server, with a clamp."""
    return replace(service(real(21, port=80), method=method), mss_clamp=clamp)


def leaving(lab: ContractLab, packet: Packet) -> Packet:
    """The packet as it leaves."""
    sent = lab.send(packet).packet
    assert sent is not None
    return sent


@pytest.mark.parametrize("method", [NAT, DR, TUNNEL])
@pytest.mark.parametrize(
    ("announced", "left"), [(1460, 1200), (1201, 1200), (1200, 1200), (536, 536), (0, 0)]
)
def test_a_syn_announces_no_more_than_the_clamp(lab: ContractLab, method, announced: int, left: int):
    lab.put(clamped(1200, method))
    sent = leaving(lab, replace(lab.flow().request(SYN), mss=announced))
    assert sent.mss == left


@pytest.mark.parametrize("announced", [1460, 1200, 536])
def test_so_does_the_answer_of_a_real_server(lab: ContractLab, announced: int):
    lab.put(clamped(1200))
    flow = lab.flow()
    server = flow.reached(SYN)
    reply = replace(flow.reply(server, SYN | ACK), mss=announced)
    assert leaving(lab, reply).mss == min(announced, 1200)


def test_without_a_clamp_nothing_is_changed(lab: ContractLab):
    lab.put(clamped(False))
    assert leaving(lab, replace(lab.flow().request(SYN), mss=9000)).mss == 9000


@pytest.mark.parametrize("flags", [ACK, NONE])
def test_other_packets_keep_whatever_they_carry(lab: ContractLab, flags):
    lab.put(clamped(1200))
    flow = lab.flow()
    flow.send(SYN)
    assert leaving(lab, replace(flow.request(flags), mss=1460)).mss == 1460


def test_what_fits_leaves_room_for_the_outer_header(lab: ContractLab):
    lab.put(clamped(True, NAT), replace(clamped(True, TUNNEL), name="far", listeners=()))
    plain = leaving(lab, replace(lab.flow().request(SYN), mss=9000)).mss
    lab.put(clamped(True, TUNNEL))
    assert leaving(lab, replace(lab.flow(1).request(SYN), mss=9000)).mss in (plain - 20, plain - 40)


@pytest.mark.parametrize("clamp", [False, True, 1360])
def test_what_is_installed_is_what_was_asked_for(lab: ContractLab, clamp: bool | int):
    wanted = clamped(clamp)
    lab.put(wanted)
    assert plan(DataplaneState(services={wanted.name: wanted}), lab.dataplane.actual()) == ()
    (step,) = plan(DataplaneState(services={wanted.name: clamped(1300)}), lab.dataplane.actual())
    shown = {False: "none", True: "what fits", 1360: "1360 bytes"}[clamp]
    assert step.changes == (f"MSS clamp {shown} -> 1300 bytes",)
