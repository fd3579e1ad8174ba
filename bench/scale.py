"""A large cluster: how long its configuration takes to be in force, a change of one weight, and a start over all of it.

    taskset -c 1 .venv/bin/python bench/scale.py [--rounds 3]

What is measured is what lvsd does, by its own functions: compare the state that should be with the one that is, and
apply the difference, one virtual server after the other. Each time the state is read back out of the maps and must be
the one that was wanted.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from figures import Part, Row, at_most
from machine import NoiseWatch, hand_over, leave_the_host, this_cpu
from ratios import spread
from shoal.dataplane.base import DataplaneState
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.dataplane.plan import plan
from shoal.lvsd.enforcement import enforce
from shoal.lvsd.reconcile import Memory, TargetKey, desired, target_key
from shoal.model import (
    Cluster,
    ForwardingMethod,
    Health,
    Hook,
    Listener,
    Monitor,
    Protocol,
    RealServer,
    TcpProbe,
    VirtualServer,
)

VIRTUAL_SERVERS = 1000
REAL_SERVERS = 100  # of each
INTERFACE = "sbs0"
FIRST_VIRTUAL, FIRST_REAL = IPv4Address("198.18.0.1"), IPv4Address("10.0.0.1")
WHAT = f"{VIRTUAL_SERVERS:,} virtual servers with {REAL_SERVERS} real servers each"
ABOUT = (
    f"{WHAT}, scheduled by wrr, under NAT. Configured: from the parsed configuration to the last virtual server in "
    "force, on empty tables. One weight: of a single real server among them, from the wanted state to the new ring in "
    "force. The whole reconciliation also works out the wanted state anew, and reads and compares all the others. "
    "Start: opening the pinned tables, loading and attaching the programs of both hooks, and reading everything back."
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Seconds."""

    configured: float
    weight: float
    reconciled: float
    started: float


def virtual_server(number: int) -> VirtualServer:
    """One of them, with real servers of its own."""
    first = FIRST_REAL + REAL_SERVERS * number
    listener = Listener(address=FIRST_VIRTUAL + number, port=80, protocol=Protocol.TCP)
    return VirtualServer(
        name=f"vs{number}",
        listeners=(listener,),
        scheduler="wrr",
        method=ForwardingMethod.NAT,
        monitor=Monitor(probe=TcpProbe()),
        real_servers=tuple(
            RealServer(name=str(each), address=first + each, port=8080, weight=1 + each % 3)
            for each in range(REAL_SERVERS)
        ),
    )


def cluster() -> Cluster:
    """The configuration, as the parser would give it."""
    return Cluster(
        name="scale",
        serial=1,
        digest=b"",
        paths=(),
        routers=(),
        groups=(),
        virtual_servers=tuple(map(virtual_server, range(VIRTUAL_SERVERS))),
        heartbeat_port=5390,
        heartbeat_interval=0.1,
        dead_time=0.3,
        key=b"",
        hook=Hook.XDP,
        max_connections=1 << 16,
        max_connections_ipv6=1024,
        max_virtual_servers=1024,
        max_real_servers=131_072,
        max_templates=1024,
    )


def reweighted(of: Cluster, weight: int) -> Cluster:
    """The same with another weight of one real server in the middle."""
    servers = list(of.virtual_servers)
    chosen = servers[VIRTUAL_SERVERS // 2]
    changed = replace(chosen.real_servers[0], weight=weight)
    servers[VIRTUAL_SERVERS // 2] = replace(chosen, real_servers=(changed, *chosen.real_servers[1:]))
    return replace(of, virtual_servers=tuple(servers))


def opened(pins: Path, of: Cluster) -> EbpfDataplane:
    """The dataplane, attached."""
    dataplane = EbpfDataplane.open(
        pins,
        max_connections=of.max_connections,
        max_connections_ipv6=of.max_connections_ipv6,
        max_virtual_servers=of.max_virtual_servers,
        max_real_servers=of.max_real_servers,
    )
    dataplane.attach(find_interfaces([INTERFACE]), of.hook)
    return dataplane


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds, and what it returned."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def put_in_force(
    dataplane: EbpfDataplane, of: Cluster, health: dict[TargetKey, Health], memory: Memory
) -> float:
    """Reconcile; seconds. Ends the process when something is refused, or reads back otherwise than it should."""
    seconds, outcome = timed(lambda: enforce(dataplane, cluster=of, health=health, memory=memory))
    expect_wanted(dataplane, of, health)
    if outcome.failures:
        sys.exit(f"scale: {outcome.failures[0]}")
    return seconds


def expect_wanted(dataplane: EbpfDataplane, of: Cluster, health: dict[TargetKey, Health]) -> None:
    """End the process when another state is installed than this configuration's."""
    actual = dataplane.actual()
    wanted = desired(of, health=health, actual=actual)
    if plan(wanted, actual) or len(actual.services) != VIRTUAL_SERVERS:
        sys.exit("scale: what was read back is not what was wanted")


def change_weight(dataplane: EbpfDataplane, of: Cluster, health: dict[TargetKey, Health]) -> float:
    """Seconds from the wanted state to the change in force."""
    actual = dataplane.actual()
    new = desired(of, health=health, actual=actual).services
    name = of.virtual_servers[VIRTUAL_SERVERS // 2].name
    wanted = DataplaneState(services={**actual.services, name: new[name]})

    seconds, _ = timed(lambda: dataplane.apply(plan(wanted, actual)))
    expect_wanted(dataplane, of, health)
    return seconds


def one_round(pins: Path, of: Cluster, health: dict[TargetKey, Health]) -> Round:
    """Install everything, change, change again, start over; and take it all away."""
    dataplane, memory = opened(pins, of), Memory()
    try:
        configured = put_in_force(dataplane, of, health, memory)
        weight = change_weight(dataplane, reweighted(of, 7), health)
        put_in_force(dataplane, reweighted(of, 7), health, memory)  # nothing to do, as most of the time
        reconciled = put_in_force(dataplane, reweighted(of, 8), health, memory)
        dataplane.close()

        def start() -> EbpfDataplane:
            again = opened(pins, of)
            again.actual()
            return again

        started, dataplane = timed(start)
        expect_wanted(dataplane, reweighted(of, 8), health)
    finally:
        dataplane.remove()
    return Round(configured=configured, weight=weight, reconciled=reconciled, started=started)


def measure(rounds: int) -> list[Row]:
    """The figures of so many rounds."""
    subprocess.run(["ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "sbs1"], check=True)
    of = cluster()
    health = {
        target_key(server, real): Health.UP for server in of.virtual_servers for real in server.real_servers
    }
    with tempfile.TemporaryDirectory(prefix="sbe-") as folder:
        subprocess.run(["mount", "-t", "bpf", "bpf", folder], check=True)
        try:
            found = [one_round(Path(folder) / "pins", of, health) for _ in range(rounds)]
        finally:
            subprocess.run(["umount", folder], check=True)

    def row(what: str, how: str, value: Callable[[Round], float], limit: float | None = None) -> Row:
        measured = spread([1e3 * value(each) for each in found])
        aim = None if limit is None else at_most(limit)
        return Row(what=what, how=how, value=measured, unit="ms", aim=aim)

    return [
        row("all of it configured", "plan and apply", lambda each: each.configured, 2000),
        row("one weight changed", "plan and apply", lambda each: each.weight, 20),
        row("one weight changed", "whole reconciliation", lambda each: each.reconciled, 20),
        row("start", "over pinned tables", lambda each: each.started, 2000),
    ]


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
            name="scale",
            title="A large cluster",
            about=ABOUT,
            command="taskset -c 1 .venv/bin/python bench/scale.py",
            rounds=arguments.rounds,
            baseline="",
            rows=tuple(rows),
            noise=watch.noise(),
            seconds=round(watch.seconds, 1),
        )
    )


if __name__ == "__main__":
    main()
