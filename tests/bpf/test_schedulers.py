"""The programs choose as the pure references do, decision by decision, whatever the weights and the loads are."""

import random
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from shoal.schedulers import Load, scheduler_class
from support.packet_bench import SEND, PacketBench
from support.packets import decode_packet, encode_packet

VIP = IPv4Address("192.0.2.10")
SERVICES = 120
DECISIONS = 25
WEIGHTS = (0, 1, 1, 2, 3, 5, 10, 100, 65535)
LOADS = (0, 0, 1, 2, 3, 255, 256, 257, 100_000)


def put(bench: PacketBench, scheduler: str, weights: list[int]) -> list[Destination]:
    """Install a service whose destinations are 10.0.x.y in order."""
    destinations = [
        Destination(address=IPv4Address(f"10.0.{i // 200}.{i % 200 + 1}"), port=80, weight=weight)
        for i, weight in enumerate(weights)
    ]
    service = Service(
        name="www",
        listeners=(Listener(address=VIP, port=80, protocol=Protocol.TCP),),
        scheduler=scheduler,
        method=ForwardingMethod.NAT,
        destinations=tuple(destinations),
    )
    bench.dataplane.apply([PutService(service=service)])
    return destinations


def numbers_of(bench: PacketBench) -> list[int]:
    """The destination numbers in the order of the configuration."""
    installation = bench.dataplane._installation
    return [member.destination for member in installation.members_of(installation.by_name["www"])]


def decide(bench: PacketBench, port: int) -> IPv4Address | None:
    """The real server that a new connection goes to."""
    syn = Packet(
        source=IPv4Address("198.51.100.7"),
        source_port=port,
        destination=VIP,
        destination_port=80,
        protocol=Protocol.TCP,
        flags=TcpFlags.SYN,
    )
    verdict, frame, _ = bench.send(encode_packet(syn))
    return decode_packet(frame).packet.destination if verdict == SEND else None


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc"])
def test_thousands_of_random_decisions_are_those_of_the_reference(bench: PacketBench, scheduler: str):
    chance = random.Random(f"{scheduler} {bench.program}")
    for _ in range(SERVICES):
        bench.reset()
        length = chance.choice((1, 2, 3, 5, 8, 16))
        weights = chance.choices(WEIGHTS[:-1] if scheduler == "wrr" else WEIGHTS, k=length)
        destinations = put(bench, scheduler, weights)
        loads = [bench.dataplane._installation.loads[number] for number in numbers_of(bench)]
        for load in loads:
            load.active, load.inactive = chance.choice(LOADS), chance.choice(LOADS)
        reference = scheduler_class(scheduler)()
        for turn in range(DECISIONS):
            seen = [
                Load(weight=weight, active=load.active, inactive=load.inactive)
                for weight, load in zip(weights, loads, strict=True)
            ]
            expected = reference.choose(seen)
            chosen = decide(bench, 10_000 + turn)
            assert chosen == (None if expected is None else destinations[expected].address), (weights, seen)


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc"])
def test_a_thousand_real_servers_are_all_considered(bench: PacketBench, scheduler: str):
    destinations = put(bench, scheduler, [1] * 1024)
    loads = [bench.dataplane._installation.loads[number] for number in numbers_of(bench)]
    for load in loads[:1023]:
        load.active = 5
    if scheduler in ("lc", "wlc"):
        assert decide(bench, 10_000) == destinations[1023].address
    else:
        assert [decide(bench, 10_000 + turn) for turn in range(3)] == [d.address for d in destinations[:3]]


def test_the_cursor_of_a_ring_begins_anew_with_each_configuration(bench: PacketBench):
    destinations = put(bench, "rr", [1, 1, 1])
    assert [decide(bench, 10_000 + turn) for turn in range(4)][-1] == destinations[0].address
    put(bench, "rr", [1, 1, 1])
    assert decide(bench, 10_100) == destinations[0].address
