"""The programs choose as the pure references do, decision by decision, whatever the weights and the loads are."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.abi import LIMITS, TICK_SECONDS
from shoal.dataplane.ebpf.scheduling import SCHEDULER_NAMES
from shoal.dataplane.ebpf.sizes import Capacity
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import Address, ForwardingMethod, Listener, Protocol
from shoal.schedulers import Load, Request, lblcr, mh, names, scheduler_class
from support.packet_bench import SEND, PacketBench
from support.packets import decode_packet, encode_packet

VIP = IPv4Address("192.0.2.10")
SERVICES = 120
DECISIONS = 25
WEIGHTS = (0, 1, 1, 2, 3, 5, 10, 100, 65535)
LOADS = (0, 0, 1, 2, 3, 255, 256, 257, 100_000)
CLIENT = IPv4Address("198.51.100.7")
FLAGS = {"sh": ("sh-fallback", "sh-port"), "mh": ("mh-fallback", "mh-port")}
ALL = sorted(SCHEDULER_NAMES)
EVERY_WAY = [
    *((name, ()) for name in ALL),
    *((name, (flag,)) for name, flags in FLAGS.items() for flag in flags),
    *FLAGS.items(),
]
MASK_64 = (1 << 64) - 1


def put(
    bench: PacketBench,
    scheduler: str,
    weights: Sequence[int],
    *,
    flags: tuple[str, ...] = (),
    down: Collection[int] = (),
    virtual: Sequence[IPv4Address] = (VIP,),
) -> list[Destination]:
    """Install a service whose destinations are 10.0.x.y in order; those at the positions ``down`` are."""
    destinations = [
        Destination(
            address=IPv4Address(f"10.0.{i // 200}.{i % 200 + 1}"),
            port=80,
            weight=weight,
            available=i not in down,
        )
        for i, weight in enumerate(weights)
    ]
    service = Service(
        name="www",
        listeners=tuple(Listener(address=each, port=80, protocol=Protocol.TCP) for each in virtual),
        scheduler=scheduler,
        scheduler_flags=flags,
        method=ForwardingMethod.NAT,
        destinations=tuple(destinations),
    )
    bench.dataplane.apply([PutService(service=service)])
    return destinations


def numbers_of(bench: PacketBench) -> list[int]:
    """The destination numbers in the order of the configuration."""
    installation = bench.dataplane._installation
    return installation.numbers_of(installation.by_name["www"])


def seen_loads(bench: PacketBench, destinations: Sequence[Destination]) -> list[Load]:
    """The destinations as a scheduler sees them."""
    counts = [bench.dataplane._installation.loads[number] for number in numbers_of(bench)]
    return [
        Load(
            weight=each.weight,
            available=each.available,
            address=each.address,
            port=each.port,
            active=count.active,
            inactive=count.inactive,
        )
        for each, count in zip(destinations, counts, strict=True)
    ]


def next_chance(bench: PacketBench) -> tuple[int, int]:
    """The two numbers that the next decision of twos will draw: drawn() of bpf/schedule_twos.h."""
    installation = bench.dataplane._installation
    number = installation.services[installation.by_name["www"]].config
    count = installation._configs[number].cursor
    seed = bench.dataplane._loaded.table("settings")[0].hash_seed
    x = seed + (number << 32 | count) * 0x9E3779B97F4A7C15 & MASK_64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK_64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK_64
    x ^= x >> 31
    return x & 0xFFFFFFFF, x >> 32


def decide(
    bench: PacketBench, port: int, *, client: Address = CLIENT, virtual: Address = VIP
) -> Address | None:
    """The real server that a new connection goes to."""
    syn = Packet(
        source=client,
        source_port=port,
        destination=virtual,
        destination_port=80,
        protocol=Protocol.TCP,
        flags=TcpFlags.SYN,
    )
    verdict, frame, _ = bench.send(encode_packet(syn))
    return decode_packet(frame).packet.destination if verdict == SEND else None


def random_address(chance: random.Random) -> IPv4Address:
    return IPv4Address(chance.randrange(1 << 24, 127 << 24))


@pytest.mark.parametrize(("scheduler", "flags"), EVERY_WAY)
def test_thousands_of_random_decisions_are_those_of_the_reference(
    bench: PacketBench, scheduler: str, flags: tuple[str, ...]
):
    chance = random.Random(f"{scheduler} {flags} {bench.program}")
    refused = 0
    for _ in range(SERVICES):
        bench.reset()
        length = chance.choice((1, 2, 3, 5, 8, 16))
        weights = chance.choices(WEIGHTS[:-1] if scheduler == "wrr" else WEIGHTS, k=length)
        down = {position for position in range(length) if chance.random() < 0.2}
        virtual = [VIP, *(random_address(chance) for _ in range(4))]
        destinations = put(bench, scheduler, weights, flags=flags, down=down, virtual=virtual)
        for number in numbers_of(bench):
            load = bench.dataplane._installation.loads[number]
            load.active, load.inactive = chance.choice(LOADS), chance.choice(LOADS)
        reference = scheduler_class(scheduler)(flags=flags)
        for turn in range(DECISIONS):
            client, address = random_address(chance), chance.choice(virtual)
            seen = seen_loads(bench, destinations)
            request = Request(
                client=client,
                client_port=10_000 + turn,
                virtual_address=address,
                chance=next_chance(bench),
            )
            expected = reference.choose(seen, request)
            chosen = decide(bench, 10_000 + turn, client=client, virtual=address)
            assert chosen == (None if expected is None else destinations[expected].address), (request, seen)
            refused += expected is None
    assert 0 < refused < SERVICES * DECISIONS / 2


@pytest.mark.parametrize("scheduler", ["sh", "dh", "mh", "lblc", "lblcr"])
def test_ipv6_addresses_are_hashed_as_the_reference_does(bench: PacketBench, scheduler: str):
    chance = random.Random(f"{scheduler} {bench.program}")
    flags = tuple(flag for flag in scheduler_class(scheduler).known_flags if flag.endswith("port"))
    virtual = [IPv6Address(chance.getrandbits(125) | 1 << 125) for _ in range(4)]
    destinations = tuple(
        Destination(address=IPv6Address(chance.getrandbits(125) | 1 << 125), port=80, weight=1 + number % 3)
        for number in range(8)
    )
    listeners = tuple(Listener(address=each, port=80, protocol=Protocol.TCP) for each in virtual)
    service = Service(
        name="www",
        listeners=listeners,
        scheduler=scheduler,
        scheduler_flags=flags,
        method=ForwardingMethod.NAT,
        destinations=destinations,
    )
    bench.dataplane.apply([PutService(service=service)])
    reference = scheduler_class(scheduler)(flags=flags)
    chosen = set()
    for turn in range(200):
        client, address = IPv6Address(chance.getrandbits(125) | 1 << 125), chance.choice(virtual)
        seen = seen_loads(bench, destinations)
        request = Request(client=client, client_port=10_000 + turn, virtual_address=address)
        expected = reference.choose(seen, request)
        assert expected is not None
        assert decide(bench, 10_000 + turn, client=client, virtual=address) == destinations[expected].address
        chosen.add(expected)
    assert len(chosen) > 1


def test_an_address_that_nobody_asked_for_in_a_day_is_scheduled_anew(bench: PacketBench):
    destinations = put(bench, "lblc", [100, 100])
    assert [decide(bench, 10_000 + turn) for turn in range(3)] == [destinations[0].address] * 3
    cache = bench.dataplane._loaded.dictionary("localities")
    ((key, value),) = list(cache.items())
    day = round(24 * 3600 / TICK_SECONDS)
    value.used = value.used - day + 1000 & 0xFFFFFFFF
    cache.put(key, value)
    assert decide(bench, 10_100) == destinations[0].address
    value.used = value.used - 1000 & 0xFFFFFFFF
    cache.put(key, value)
    assert decide(bench, 10_101) == destinations[1].address


def test_a_set_that_stayed_the_same_for_a_day_loses_its_most_loaded(bench: PacketBench):
    destinations = put(bench, "lblcr", [10, 10])
    first, second = (bench.dataplane._installation.loads[number] for number in numbers_of(bench))
    assert decide(bench, 10_000) == destinations[0].address
    first.active, second.active = 11, 4
    assert decide(bench, 10_001) == destinations[1].address
    first.active, second.active = 3, 4
    assert decide(bench, 10_002) == destinations[0].address
    cache = bench.dataplane._loaded.dictionary("replica_sets")
    ((key, value),) = list(cache.items())
    value.changed = value.changed - round(24 * 3600 / TICK_SECONDS) - 1 & 0xFFFFFFFF
    cache.put(key, value)
    first.active, second.active = 5, 4
    assert decide(bench, 10_003) == destinations[1].address
    first.active, second.active = 0, 4
    assert decide(bench, 10_004) == destinations[1].address


def test_a_set_holds_as_many_destinations_as_that_of_the_reference(bench: PacketBench):
    assert LIMITS["SHOAL_MAX_REPLICAS"] == lblcr.MAX_REPLICAS
    destinations = put(bench, "lblcr", [10] * 12)
    loads = [bench.dataplane._installation.loads[number] for number in numbers_of(bench)]
    reference = scheduler_class("lblcr")()
    for turn in range(60):
        for position, load in enumerate(loads):
            load.active = 0 if position == turn % 12 else 11 + (7 * position + turn) % 5
        expected = reference.choose(seen_loads(bench, destinations), Request(virtual_address=VIP))
        assert decide(bench, 10_000 + turn) == destinations[expected].address


def test_the_numbers_that_twos_draws_favour_nobody(bench: PacketBench):
    put(bench, "twos", [1, 1, 1, 1])
    drawn = []
    for turn in range(400):
        drawn.extend(next_chance(bench))
        decide(bench, 10_000 + turn)
    assert len(set(drawn)) == 800
    quarters = Counter(number >> 30 for number in drawn)
    # 200 each; five standard deviations are 61
    assert all(139 < quarters[quarter] < 261 for quarter in range(4))


@pytest.mark.parametrize("scheduler", ["lc", "wlc", "sed", "nq"])
def test_a_thousand_real_servers_are_all_compared(bench: PacketBench, scheduler: str):
    destinations = put(bench, scheduler, [1] * 1024)
    for number in numbers_of(bench)[:1023]:
        bench.dataplane._installation.loads[number].active = 5
    assert decide(bench, 10_000) == destinations[1023].address


@pytest.mark.parametrize("scheduler", ["fo", "ovf"])
def test_the_last_of_a_thousand_real_servers_can_be_the_heaviest(bench: PacketBench, scheduler: str):
    destinations = put(bench, scheduler, [1] * 1023 + [2])
    assert decide(bench, 10_000) == destinations[1023].address


@pytest.mark.parametrize("scheduler", ["rr", "wrr"])
def test_a_ring_goes_through_a_thousand_real_servers(bench: PacketBench, scheduler: str):
    destinations = put(bench, scheduler, [1] * 1024)
    assert [decide(bench, 10_000 + turn) for turn in range(3)] == [d.address for d in destinations[:3]]


def test_two_draws_reach_the_last_of_a_thousand_real_servers(bench: PacketBench):
    destinations = put(bench, "twos", [1] * 1023 + [65535], down=range(1023))
    assert decide(bench, 10_000) == destinations[1023].address


def test_the_search_for_another_bucket_goes_round_the_whole_table(bench: PacketBench):
    """One candidate among 512 real servers: about 8 of Maglev's 4093 places are its own."""
    destinations = put(bench, "mh", [1] * 512, flags=("mh-fallback",), down=set(range(512)) - {300})
    assert {decide(bench, 10_000 + turn, client=CLIENT + turn) for turn in range(50)} == {
        destinations[300].address
    }


def test_the_packet_path_has_every_scheduler():
    assert set(SCHEDULER_NAMES) == set(names())


@pytest.mark.parametrize("services", [1, 256, 4096])
def test_every_service_may_have_a_maglev_table_twice_over(services: int):
    entries = Capacity(max_connections=1024, max_virtual_servers=services).entries()
    assert 2 * services * mh.TABLE_SIZE <= entries["rings"]


def test_the_cursor_of_a_ring_begins_anew_with_each_configuration(bench: PacketBench):
    destinations = put(bench, "rr", [1, 1, 1])
    assert [decide(bench, 10_000 + turn) for turn in range(4)][-1] == destinations[0].address
    put(bench, "rr", [1, 1, 1])
    assert decide(bench, 10_100) == destinations[0].address
