"""ns that a packet of an established connection costs, by BPF_PROG_TEST_RUN, beside two yardsticks.

    taskset -c 1 .venv/bin/python bench/packet_cost.py [--rounds 9] [--repeat 1000000] [--methods shoal dr tunnel]

The protocol: a harness program restores the packet before every repetition (a rewritten packet fed back would be
another packet) and tail-calls the program under test; all programs are measured in one process, interleaved; the
figure is the median over the rounds of the ratio to the single-lookup program in the same round, harness included on
both sides. Both tables are made for 1,048,576 connections
(ours then has twice as many places) and are filled with the same flows just before. Each forwarding method is measured
by itself, in tables that hold its flows alone.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from figures import Part, Row, at_most
from frames import ACK, SYN, frame
from harness import Harness, Plan
from machine import NoiseWatch, hand_over, leave_the_host, this_cpu
from ratios import same_round_ratios, spread, turned
from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.abi import INTERFACE_FLAGS, ffi
from shoal.dataplane.ebpf.backend import EbpfDataplane
from shoal.model import ForwardingMethod, Listener, Protocol

VIP = IPv4Address("198.18.0.100")
CLIENT = IPv4Address("198.18.128.0")
POOL = [IPv4Address(f"198.19.0.{last}") for last in range(21, 37)]
REALS = POOL[:3]
MACS = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))
TABLE = 1 << 20
AIMS = {1: 1.5, 4096: 1.5, 65536: 1.0, 524288: 0.95}
XDP_TX, XDP_REDIRECT = 3, 4
NAMES = {
    "empty": "empty program",
    "single_lookup": "parse and one LRU lookup",
    "shoal": "shoal-xdp",
    "dr": "shoal-xdp, dr",
    "tunnel": "shoal-xdp, tunnel (ipip)",
}
METHODS = {
    "shoal": ForwardingMethod.NAT,
    "dr": ForwardingMethod.DR,
    "tunnel": ForwardingMethod.TUNNEL,
}
ONE_ARMED = ("tunnel",)  # as the balancer that the aims were set beside
ABOUT = (
    "An established TCP connection's packet from the client, by NAT, by direct routing and into "
    "an IPIP tunnel, through the XDP program by BPF_PROG_TEST_RUN: CPU "
    "time per packet, with the harness that restores the packet (which is nearly all of the empty program's figure). "
    "NAT and direct routing redirect it to another interface; tunnelling is one-armed. "
    "The yardstick parses the packet and does a single lookup in an LRU hash. Both tables are made for 1,048,576 "
    "connections (ours then has twice as many places); flows are scattered over them."
)


def sh(command: str) -> None:
    """A command that must work."""
    subprocess.run(command, shell=True, check=True)


def prepare_network() -> int:
    """A veth with the real servers behind it as permanent neighbours. Returns its ifindex."""
    sh("ip link add out type veth peer name far && for link in lo out far; do ip link set $link up; done")
    sh("ip address add 198.19.0.1/24 dev out && sysctl -qw net.ipv4.ip_forward=1")
    for real in POOL:
        sh(f"ip neighbour replace {real} lladdr 02:00:00:00:01:{int(real) & 0xFF:02x} dev out nud permanent")
    return socket.if_nametoindex("out")


def template(flags: int) -> bytes:
    """A TCP packet to the VIP; the harness sets the source."""
    return frame(macs=MACS, source=(CLIENT, 0), destination=(VIP, 80), flags=flags)


def install(
    dataplane: EbpfDataplane,
    ifindex: int,
    method: ForwardingMethod,
    *,
    scheduler: str = "rr",
    reals: Sequence[IPv4Address] = REALS,
) -> None:
    """One virtual server over these real servers, and the way out marked as fit for XDP."""
    destinations = tuple(Destination(address=real, port=80, weight=1) for real in reals)
    listener = Listener(address=VIP, port=80, protocol=Protocol.TCP)
    service = Service(
        name="bench",
        listeners=(listener,),
        scheduler=scheduler,
        method=method,
        destinations=destinations,
    )
    dataplane.apply([PutService(service=service)])
    mark_way_out(dataplane, ifindex)


def mark_way_out(dataplane: EbpfDataplane, ifindex: int) -> None:
    """As fit for frames that XDP redirects."""
    flags = dataplane._loaded.dictionary("interfaces")
    flags.put(ffi.new("__u32 *", ifindex), ffi.new("__u32 *", INTERFACE_FLAGS["SHOAL_XDP_TARGET"]))


def fill(harness: Harness, programs: Mapping[str, int], flows: int, *, under_test: str) -> None:
    """Establish every flow in both tables, and prove on one packet each that they are hits."""
    for name, flags in ((under_test, SYN), (under_test, ACK), ("single_lookup", ACK)):
        harness.select(programs[name])
        harness.plan(Plan(template=template(flags), flows=flows, sequential=True))
        harness.run(flows)
    known = frame(macs=MACS, source=(CLIENT, 1024), destination=(VIP, 80))
    sent = XDP_TX if under_test in ONE_ARMED else XDP_REDIRECT
    for name, verdict in ((under_test, sent), ("single_lookup", XDP_TX)):
        got = harness.verdict(programs[name], known)
        if got != verdict:
            sys.exit(f"packet_cost: verdict {got} instead of {verdict}: the flows are not established")
    harness.plan(Plan(template=template(ACK), flows=flows, sequential=False))


def measure(rounds: int, repeat: int, names: Sequence[str]) -> list[Row]:
    """The rows for every method and number of flows."""
    ifindex = prepare_network()
    rows = []
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        sh(f"mount -t bpf bpf {folder}")
        try:
            for name in names:
                rows += measure_method(name, Path(folder) / "pins", ifindex, rounds=rounds, repeat=repeat)
        finally:
            sh(f"umount {folder}")
    return rows


def measure_method(name: str, pins: Path, ifindex: int, *, rounds: int, repeat: int) -> list[Row]:
    """The rows of one forwarding method; the yardsticks are shown beside nat, and measured beside each."""
    harness = Harness.load()
    dataplane = EbpfDataplane.open(pins, max_connections=TABLE)
    rows = []
    try:
        install(dataplane, ifindex, METHODS[name])
        if name in ONE_ARMED:
            harness.come_in_by(ifindex)
        programs = {
            "empty": harness.loaded.program("empty"),
            "single_lookup": harness.loaded.program("single_lookup"),
            name: dataplane._loaded.program("shoal_xdp"),
        }
        for flows in AIMS:
            fill(harness, programs, flows, under_test=name)
            taken = samples(harness, programs, rounds=rounds, repeat=repeat)
            rows += rows_of(flows, taken, shown=list(programs) if name == "shoal" else [name])
    finally:
        dataplane.remove()
        harness.loaded.close()
    return rows


def samples(
    harness: Harness, programs: Mapping[str, int], *, rounds: int, repeat: int
) -> dict[str, list[float]]:
    """Interleaved rounds; the order turns from round to round."""
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds):
        for name in turned(list(programs), turn):
            harness.select(programs[name])
            taken[name].append(harness.run(repeat))
    return taken


def rows_of(flows: int, taken: Mapping[str, Sequence[float]], *, shown: Sequence[str]) -> list[Row]:
    """One row for each program that is shown, all with their ratio to the single lookup."""
    return [
        Row(
            what=f"{flows:,} flow{'s' if flows > 1 else ''}",
            how=NAMES[name],
            value=spread(values),
            unit="ns",
            ratio=spread(same_round_ratios(values, taken["single_lookup"])),
            aim=at_most(AIMS[flows]) if name in METHODS else None,
        )
        for name, values in taken.items()
        if name in shown
    ]


def main() -> None:
    """Measure, and print the part as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeat", type=int, default=1_000_000)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    arguments = parser.parse_args()
    leave_the_host()
    watch = NoiseWatch(this_cpu())
    rows = measure(arguments.rounds, arguments.repeat, arguments.methods)
    hand_over(
        Part(
            name="packet_cost",
            title="Cost of a packet",
            about=ABOUT,
            command="taskset -c 1 .venv/bin/python bench/packet_cost.py",
            rounds=arguments.rounds,
            baseline=NAMES["single_lookup"],
            rows=tuple(rows),
            noise=watch.noise(),
            seconds=round(watch.seconds, 1),
        )
    )


if __name__ == "__main__":
    main()
