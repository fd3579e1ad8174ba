"""The connection table of either family at its limits, and with nobody to sweep it."""

import random
import time
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Destination, Drop, Service
from shoal.dataplane.ebpf.abi import LIMITS, STATES
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from support.packet_bench import DROP, SEND, PacketBench

VIP = IPv4Address("192.0.2.10")
REALS = (IPv4Address("10.0.1.21"), IPv4Address("10.0.1.22"))
SYN = Packet(
    source=IPv4Address("198.51.100.7"),
    destination=VIP,
    destination_port=80,
    protocol=Protocol.TCP,
    flags=TcpFlags.SYN,
)


@pytest.fixture
def serving(bench: PacketBench, family: int) -> PacketBench:
    service = Service(
        name="www",
        # two, so that a real server's packets have no one name and nothing goes on without an entry
        listeners=tuple(Listener(address=VIP, port=port, protocol=Protocol.TCP) for port in (80, 443)),
        scheduler="rr",
        method=ForwardingMethod.NAT,
        destinations=tuple(Destination(address=real, port=80, weight=1) for real in REALS),
    )
    bench.put(service)
    return bench


def open_one(
    bench: PacketBench, number: int, *, flags: tuple[TcpFlags, ...] = (TcpFlags.SYN, TcpFlags.ACK)
) -> str:
    """Send a client's packets with these flags; the last verdict."""
    verdict = ""
    source = IPv4Address(int(SYN.source) + number // 60_000)
    for each in flags:
        packet = replace(SYN, source=source, source_port=1024 + number % 60_000, flags=each)
        verdict, _, reason = bench.send(bench.frame(packet))
        assert reason in (None, Drop.TABLE_FULL)
        if verdict == DROP:
            break
    return verdict


def fill(bench: PacketBench) -> int:
    """Establish connections until one is refused; how many there are."""
    for number in range(10_000):
        if open_one(bench, number) == DROP:
            return number
    raise AssertionError("the table never filled up")


def gauges(bench: PacketBench) -> tuple[int, int]:
    """Active and inactive connections of all real servers, as the schedulers see them."""
    found = bench.dataplane.counters().services["www"].destinations.values()
    return sum(each.active for each in found), sum(each.inactive for each in found)


def live_entries(bench: PacketBench) -> int:
    """Entries of the table in any live state, dead by deadline or not."""
    table = bench.connection_table
    return sum(
        slot.word & 0xFF >= STATES["SHOAL_NONE"]
        for number in range(len(table))
        for slot in table[number].slot
    )


def test_a_table_takes_more_than_its_stated_size_before_it_refuses(serving: PacketBench):
    stated = serving.places // 2
    held = fill(serving)
    assert held >= stated
    assert gauges(serving) == (held, 0)
    assert len(list(serving.dataplane.connections(limit=10_000))) == held


def test_a_full_table_that_nobody_sweeps_does_not_wedge(serving: PacketBench):
    """Hours without lvsd: what has expired makes way by itself, and the counts follow."""
    held = fill(serving)
    serving.advance(901 + 2)
    for number in range(20_000, 20_000 + held // 2):
        assert open_one(serving, number) == SEND
    alive = list(serving.dataplane.connections(limit=10_000))
    assert len(alive) == held // 2
    assert gauges(serving) == (live_entries(serving), 0)
    serving.dataplane.sweep()
    assert gauges(serving) == (held // 2, 0)


def test_connections_outside_their_home_bucket_are_found_and_forgotten(serving: PacketBench):
    held = fill(serving)
    table = serving.connection_table
    assert sum(table[number].slot[0].spilled for number in range(len(table))) > 0
    for number in range(held):
        assert open_one(serving, number, flags=(TcpFlags.ACK,)) == SEND
    assert serving.dataplane.counters().services["www"].connections == held
    serving.advance(1000)
    serving.dataplane.sweep()  # kills
    serving.advance(2)
    serving.dataplane.sweep()  # frees, after their rest
    assert live_entries(serving) == 0
    assert [table[number].slot[0].spilled for number in range(len(table))] == [0] * len(table)
    assert gauges(serving) == (0, 0)


def test_the_counts_stay_exact_through_random_lives(serving: PacketBench):
    chance = random.Random(11)
    flags = (TcpFlags.SYN, TcpFlags.ACK, TcpFlags.FIN | TcpFlags.ACK, TcpFlags.RST)
    for _ in range(3000):
        fate = chance.random()
        if fate < 0.96:
            open_one(serving, chance.randrange(400), flags=(chance.choice(flags),))
        elif fate < 0.98:
            serving.advance(chance.choice((1, 11, 61, 130)))
        else:
            serving.dataplane.sweep()
    serving.dataplane.sweep()
    states = [connection.state for connection in serving.dataplane.connections(limit=10_000)]
    active = sum(state in ("established", "syn_recv", "syn_sent", "synack") for state in states)
    assert states
    assert gauges(serving) == (active, len(states) - active)


def test_every_place_of_a_bucket_can_be_used(serving: PacketBench):
    fill(serving)
    table = serving.connection_table
    full = sum(
        all(slot.word & 0xFF >= STATES["SHOAL_NONE"] for slot in table[number].slot)
        for number in range(len(table))
    )
    assert full > 0
    assert LIMITS["SHOAL_BUCKET_SLOTS"] == 8


def test_connections_from_neighbouring_ports_share_a_page(serving: PacketBench):
    for number in range(8):  # ports 1024 to 1031
        open_one(serving, number)
    table = serving.connection_table
    homes = [
        number
        for number in range(len(table))
        for slot in table[number].slot
        if slot.word & 0xFF >= STATES["SHOAL_NONE"]
    ]
    assert len(set(homes)) == 8
    assert any({(first + each) % len(table) for each in range(8)} == set(homes) for first in homes)


def test_the_programs_clock_is_the_monotonic_clock(serving: PacketBench, family: int):
    before = time.monotonic_ns() >> LIMITS["SHOAL_TICK_SHIFT"]
    open_one(serving, 0)
    after = time.monotonic_ns() >> LIMITS["SHOAL_TICK_SHIFT"]
    timeout = serving.dataplane._loaded.table("settings")[0].timeout_ticks[STATES["SHOAL_ESTABLISHED"]]
    (expires,) = [
        slot.expires
        for number in range(len(serving.connection_table))
        for slot in serving.connection_table[number].slot
        if slot.word & 0xFF == STATES["SHOAL_ESTABLISHED"]
    ]
    assert before - 2 <= expires - timeout <= after + 2
