"""Four million connections: what they take, how fast they come, and what it costs to look through them for dead ones.

    taskset -c 1 .venv/bin/python bench/table_capacity.py [--rounds 3]

The connections are real entries, made by the XDP program out of a SYN and an ACK each (BPF_PROG_TEST_RUN), and counted
by the dataplane: by its sweep and by its count of active connections. "All expired" is the sweep of the same table with
a clock beyond every deadline.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from figures import Part, Row, at_least, at_most
from frames import ACK, SYN
from harness import Harness, Plan
from machine import NoiseWatch, hand_over, leave_the_host, this_cpu
from packet_cost import POOL, install, prepare_network, template
from ratios import same_round_ratios, spread
from shoal.dataplane.ebpf.abi import LIMITS, TICK_SECONDS, ffi
from shoal.dataplane.ebpf.backend import SWEEP_SLICE, EbpfDataplane
from shoal.dataplane.ebpf.libbpf import run_program
from shoal.model import ConnectionState, ForwardingMethod
from shoal.model.tcp_states import TIMEOUTS

CONNECTIONS = 1 << 22
MEMORY_AIMS = {"nat": at_most(224), "dr and tunnel": at_most(128)}  # all are in the same table
ABOUT = (
    "A table for 4,194,304 connections, holding as many established connections as its limit says. A connection is "
    "one 64-byte line that serves both directions; the table has two places for each connection of the limit, so that"
    " it is at most half full. The bytes are the kernel's own figure for the map (memlock), divided by the limit; the"
    " page of the map itself is no connection's. A new connection is a SYN under NAT, scheduled by wlc over 16 real "
    "servers, beside a packet that is parsed, looked up and inserted once into an LRU hash (which is a quarter of "
    "that size, and evicts); both with the harness that makes the packet. The sweep runs in slices, and packets are "
    "served between them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One pass over the table: seconds of its slices, what it found live, what it ended."""

    slices: tuple[float, ...]
    live: int
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One filling and emptying of the table; ns per insert, SYN and ACK."""

    insert: float
    syn: float
    ack: float
    live: Sweep
    expired: Sweep


def map_bytes(descriptor: int) -> int:
    """What a map takes of the kernel's memory (Documentation/filesystems/proc.rst, fdinfo)."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "memlock":
            return int(value)
    raise LookupError("fdinfo has no memlock")


def sweep(dataplane: EbpfDataplane, *, ahead: float) -> Sweep:
    """A pass by a clock that is ``ahead`` seconds ahead, in slices as lvsd runs them."""
    now = (time.monotonic_ns() >> LIMITS["SHOAL_TICK_SHIFT"]) + round(ahead / TICK_SECONDS)
    arguments = ffi.new("struct sweep_arguments *", {"now": now & 0xFFFFFFFF})
    loaded = dataplane._loaded
    program, buckets = loaded.program("shoal_sweep"), loaded.n_buckets(4)
    slices, live, expired = [], 0, 0
    for first in range(0, buckets, SWEEP_SLICE):
        arguments.first_bucket = first
        arguments.n_buckets = min(SWEEP_SLICE, buckets - first)
        begin = time.perf_counter()
        run_program(program, arguments)
        slices.append(time.perf_counter() - begin)
        live += arguments.live
        expired += arguments.expired
    return Sweep(slices=tuple(slices), live=live, expired=expired)


def active(dataplane: EbpfDataplane) -> int:
    """Connections that count as active at the real servers."""
    services = dataplane.counters().services.values()
    return sum(load.active for service in services for load in service.destinations.values())


def expect(what: str, found: int, expected: int) -> None:
    """End the process when a count is wrong."""
    if found != expected:
        sys.exit(f"table_capacity: {what}: {found:,} instead of {expected:,}")


def inserted(harness: Harness) -> float:
    """ns of a single insert into the yardstick's LRU hash, which is smaller: after its first part it evicts, too."""
    harness.select(harness.loaded.program("single_lookup"))
    harness.plan(Plan(template=template(ACK), flows=CONNECTIONS, sequential=True))
    return harness.run(CONNECTIONS)


def one_round(harness: Harness, dataplane: EbpfDataplane) -> Round:
    """Fill the empty table, look through it, let everything expire, and leave it empty."""
    times = [inserted(harness)]
    harness.select(dataplane._loaded.program("shoal_xdp"))
    for flags in (SYN, ACK):
        harness.plan(Plan(template=template(flags), flows=CONNECTIONS, sequential=True))
        times.append(harness.run(CONNECTIONS))
    expect("active connections", active(dataplane), CONNECTIONS)
    live = sweep(dataplane, ahead=0.0)
    expect("live connections", live.live, CONNECTIONS)
    expect("connections expired too early", live.expired, 0)
    expired = sweep(dataplane, ahead=2 * TIMEOUTS[ConnectionState.ESTABLISHED])
    expect("expired connections", expired.expired, CONNECTIONS)
    expect("active connections after the sweep", active(dataplane), 0)
    dataplane._loaded.table("connections4").clear()
    return Round(insert=times[0], syn=times[1], ack=times[2], live=live, expired=expired)


def rows_of(rounds: list[Round], table_bytes: int) -> list[Row]:
    """The figures of all rounds."""

    def row(what: str, how: str, unit: str, value: Callable[[Round], float]) -> Row:
        return Row(what=what, how=how, value=spread([value(each) for each in rounds]), unit=unit)

    memory = spread([float(table_bytes // CONNECTIONS)])
    held = spread([float(each.live.live) for each in rounds])
    inserts = [each.insert for each in rounds]
    opening = spread(same_round_ratios([each.syn for each in rounds], inserts))
    return [
        *(
            Row(
                what=f"memory of a connection, {method}",
                how="map / limit",
                value=memory,
                unit="bytes",
                aim=aim,
            )
            for method, aim in MEMORY_AIMS.items()
        ),
        Row(what="connections held", how="established", value=held, unit="", aim=at_least(4_000_000)),
        row("new connection", "one insert into an LRU hash", "ns", lambda each: each.insert),
        replace(row("new connection", "SYN", "ns", lambda each: each.syn), ratio=opening, aim=at_most(1.5)),
        row("new connection", "ACK to it", "ns", lambda each: each.ack),
        row("sweep, all live", "whole table", "ms", lambda each: sum(each.live.slices) * 1e3),
        row("sweep, all live", "longest slice", "ms", lambda each: max(each.live.slices) * 1e3),
        row("sweep, all expired", "whole table", "ms", lambda each: sum(each.expired.slices) * 1e3),
        row("sweep, all expired", "longest slice", "ms", lambda each: max(each.expired.slices) * 1e3),
    ]


def measure(rounds: int) -> list[Row]:
    """Fill and empty the table so many times."""
    ifindex = prepare_network()
    with tempfile.TemporaryDirectory(prefix="sbe-") as folder:
        subprocess.run(["mount", "-t", "bpf", "bpf", folder], check=True)
        harness = Harness.load()
        dataplane = EbpfDataplane.open(Path(folder) / "pins", max_connections=CONNECTIONS)
        try:
            install(dataplane, ifindex, ForwardingMethod.NAT, scheduler="wlc", reals=POOL)
            table_bytes = map_bytes(dataplane._loaded.descriptor("connections4"))
            return rows_of([one_round(harness, dataplane) for _ in range(rounds)], table_bytes)
        finally:
            dataplane.remove()
            subprocess.run(["umount", folder], check=True)


def main() -> None:
    """Measure, and print the part as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cpu = this_cpu()
    leave_the_host()
    watch = NoiseWatch(cpu)
    rows = measure(arguments.rounds)
    hand_over(
        Part(
            name="table_capacity",
            title="Four million connections",
            about=ABOUT,
            command="taskset -c 1 .venv/bin/python bench/table_capacity.py",
            rounds=arguments.rounds,
            baseline="one insert into an LRU hash",
            rows=tuple(rows),
            noise=watch.noise(),
            seconds=round(watch.seconds, 1),
        )
    )


if __name__ == "__main__":
    main()
