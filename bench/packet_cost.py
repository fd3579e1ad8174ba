"""ns a packet of an established connection costs, by BPF_PROG_TEST_RUN, beside two yardsticks.

Run by script/bench inside a network and a mount namespace of its own. The protocol: a harness program restores the
packet before every repetition (a rewritten packet fed back would be another packet) and tail-calls the program under
test; all programs are measured in one process, interleaved; the figure is the median over the rounds of the ratio to
the single-lookup program in the same round, harness included on both sides. Both tables hold 1,048,576 entries and
are filled with the same flows just before.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from frames import ACK, SYN, frame
from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.abi import INTERFACE_FLAGS, ffi
from shoal.dataplane.ebpf.backend import EbpfDataplane
from shoal.dataplane.ebpf.libbpf import Object, check, lib, options, run_packet
from shoal.model import ForwardingMethod, Listener, Protocol

HERE = Path(__file__).parent
VIP = IPv4Address("198.18.0.100")
CLIENT = IPv4Address("198.18.128.0")
REALS = [IPv4Address(f"198.19.0.{last}") for last in (21, 22, 23)]
MACS = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))
TABLE = 1 << 20
FLOWS = (1, 4096, 65536, 524288)
AIMS = {1: 2.4, 4096: 2.1, 65536: 1.3, 524288: 1.15}
XDP_TX, XDP_REDIRECT = 3, 4

ffi.cdef("""
struct plan { __u32 flows; __u32 ifindex; __u32 fixes_tcp_checksum; __u32 sequential; __u8 bytes[64]; };
""")


def sh(command: str) -> None:
    """A command that must work."""
    subprocess.run(command, shell=True, check=True)


def prepare_network() -> int:
    """A veth with the real servers behind it as permanent neighbours. Returns its ifindex."""
    sh(
        "ip link add out type veth peer name far && ip link set lo up && ip link set out up && ip link set far up"
    )
    sh("ip address add 198.19.0.1/24 dev out && sysctl -qw net.ipv4.ip_forward=1")
    for real in REALS:
        sh(f"ip neighbour replace {real} lladdr 02:00:00:00:01:{int(real) & 0xFF:02x} dev out nud permanent")
    return socket.if_nametoindex("out")


@dataclass
class Harness:
    """The harness program and what it runs."""

    loaded: Object
    plans: int
    under_test: int

    @classmethod
    def load(cls) -> "Harness":
        """Load bench/built/harness.bpf.o."""
        loaded = Object(str(HERE / "built" / "harness.bpf.o"))
        loaded.load()
        maps = {name: int(lib.bpf_map__fd(handle)) for name, handle in loaded.maps()}
        return cls(loaded=loaded, plans=maps["plans"], under_test=maps["under_test"])

    def plan(self, flows: int, template: bytes, *, sequential: bool) -> None:
        """Which packets to make."""
        plan = ffi.new("struct plan *", {"flows": flows, "sequential": sequential})
        plan.bytes = template[:64].ljust(64, b"\0")
        check(lib.bpf_map_update_elem(self.plans, ffi.new("__u32 *", 0), plan, 0), problem="plan refused")

    def select(self, program: int) -> None:
        """Which program to run on them."""
        descriptor = ffi.new("__u32 *", program)
        check(
            lib.bpf_map_update_elem(self.under_test, ffi.new("__u32 *", 0), descriptor, 0),
            problem="tail call refused",
        )

    def run(self, repeat: int) -> float:
        """Run so many packets; ns of this thread's CPU time each."""
        packet = bytes(60)
        room = ffi.new("char[]", 512)
        data: Any = ffi.from_buffer(packet)
        opts = options(
            "bpf_test_run_opts",
            data_in=data,
            data_size_in=60,
            data_out=room,
            data_size_out=512,
            repeat=repeat,
        )
        begin = time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID)
        check(lib.bpf_prog_test_run_opts(self.loaded.program("harness"), opts), problem="test run refused")
        return (time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID) - begin) / repeat


def template(flags: int) -> bytes:
    """A TCP packet to the VIP; the harness sets the source."""
    return frame(macs=MACS, source=(CLIENT, 0), destination=(VIP, 80), flags=flags)


def install(dataplane: EbpfDataplane, ifindex: int) -> None:
    """One virtual server over three real servers, and the way out marked as fit for XDP."""
    destinations = tuple(Destination(address=real, port=80, weight=1) for real in REALS)
    listener = Listener(address=VIP, port=80, protocol=Protocol.TCP)
    service = Service(
        name="bench",
        listeners=(listener,),
        scheduler="rr",
        method=ForwardingMethod.NAT,
        destinations=destinations,
    )
    dataplane.apply([PutService(service=service)])
    settings = dataplane._loaded.table("settings")[0]
    settings.macs[0], settings.n_macs = int.from_bytes(MACS[0], "little"), 1
    flags = dataplane._loaded.dictionary("interfaces")
    flags.put(ffi.new("__u32 *", ifindex), ffi.new("__u32 *", INTERFACE_FLAGS["SHOAL_XDP_TARGET"]))


def fill(harness: Harness, shoal: int, lookup: int, flows: int) -> None:
    """Establish every flow in both tables, and prove on one packet each that they are hits."""
    for program, flags in ((shoal, SYN), (shoal, ACK), (lookup, ACK)):
        harness.select(program)
        harness.plan(flows, template(flags), sequential=True)
        harness.run(flows)
    known = frame(macs=MACS, source=(CLIENT, 1024), destination=(VIP, 80))
    for program, verdict in ((shoal, XDP_REDIRECT), (lookup, XDP_TX)):
        got, _ = run_packet(program, known)
        if got != verdict:
            sys.exit(f"packet_cost: verdict {got} instead of {verdict}: the flows are not established")
    harness.plan(flows, template(ACK), sequential=False)


def measure(rounds: int, repeat: int) -> list[dict[str, Any]]:
    """One row for each number of flows."""
    ifindex = prepare_network()
    rows = []
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        sh(f"mount -t bpf bpf {folder}")
        harness = Harness.load()
        dataplane = EbpfDataplane.open(Path(folder) / "pins", max_connections=TABLE)
        try:
            install(dataplane, ifindex)
            programs = {
                "empty": harness.loaded.program("empty"),
                "single_lookup": harness.loaded.program("single_lookup"),
                "shoal": dataplane._loaded.program("shoal_xdp"),
            }
            for flows in FLOWS:
                fill(harness, programs["shoal"], programs["single_lookup"], flows)
                rows.append(measure_flows(harness, programs, flows, rounds=rounds, repeat=repeat))
        finally:
            dataplane.remove()
            sh(f"umount {folder}")
    return rows


def measure_flows(
    harness: Harness, programs: dict[str, int], flows: int, *, rounds: int, repeat: int
) -> dict[str, Any]:
    """Interleaved rounds; the order turns from round to round."""
    samples: dict[str, list[float]] = {name: [] for name in programs}
    names = list(programs)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            harness.select(programs[name])
            samples[name].append(harness.run(repeat))
    ratios = [ours / theirs for ours, theirs in zip(samples["shoal"], samples["single_lookup"], strict=True)]
    return {
        "flows": flows,
        "ns": {name: summary(values) for name, values in samples.items()},
        "ratio": summary(ratios),
        "aim": AIMS[flows],
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeat", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.rounds, arguments.repeat), indent=1))


if __name__ == "__main__":
    main()
