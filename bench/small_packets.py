"""UDP packets of 60 bytes through each way of balancing, made and counted in the kernel, on one CPU.

    taskset -c 1 .venv/bin/python bench/small_packets.py [--rounds 9] [--packets 500000]

A generator sends live frames (BPF_PROG_TEST_RUN) from the client, sinks on the servers count and drop them. The figure
is CPU time per delivered packet: that of the generating thread, in which the softirqs run, and of ksoftirqd. Generator
and sink (60 to 80 ns of it) are in every figure. Each run begins with fresh flows, established by one packet each.
"""

import argparse
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import balancing
from figures import Aim, Part, Row, at_most
from frames import UDP, frame
from harness import Harness, Plan
from machine import NoiseWatch, hand_over, inside, ksoftirqd, leave_the_host, run_time, this_cpu
from ratios import same_round_ratios, spread, turned
from shoal.dataplane.ebpf.libbpf import (
    BPF_TC_INGRESS,
    BPF_XDP,
    XDP_FLAGS_DRV_MODE,
    check,
    lib,
    options,
)
from shoal.lab import namespaces
from shoal.model import Hook
from wiring import CLIENT, N_SERVERS, Router, build, server_name

XDP, BASELINE = "shoal-xdp", "nft-dnat"
MODES = (XDP, "shoal-tc", BASELINE)
ABOUT = (
    "UDP packets of 60 bytes, generated in the client's namespace as frames (not as socket buffers, so as a driver "
    "gives them), NAT, counted and dropped on the servers: CPU time per delivered packet, generator and sink included. "
    "What was sent and what arrived are equal in every run."
)
NEW_FLOWS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send: so many flows; ``aim`` is for XDP's ratio to nftables. ``new``: every packet begins a flow."""

    what: str
    flows: int
    aim: Aim | None = None
    new: bool = False


LOADS = (
    Load(what="1,024 flows", flows=1 << 10, aim=at_most(1 / 5)),
    Load(what="65,536 flows", flows=1 << 16, aim=at_most(1 / 3)),
    Load(what="new flows", flows=1 << 31, aim=at_most(1 / 2.5), new=True),
)


def forget_tracked_connections() -> None:
    """Empty the connection tracking of the namespace this thread is in (include/uapi/linux/netfilter, ctnetlink)."""
    delete, request_and_acknowledge = 1 << 8 | 2, 5
    message = struct.pack("=IHHIIBBH", 20, delete, request_and_acknowledge, 1, 0, 0, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:  # NETLINK_NETFILTER
        netlink.send(message)
        (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    if error:
        raise OSError(-error, "connection tracking not emptied")


def attach_sinks(harness: Harness, routers: Sequence[Router]) -> None:
    """Count and drop on the servers: frames by XDP where XDP sends them, else socket buffers by TC."""
    xdp, tc = harness.loaded.program("sink_xdp"), harness.loaded.program("sink_tc")
    for router in routers:
        for server in range(1, N_SERVERS + 1):
            with inside(server_name(server)):
                index = socket.if_nametoindex(router.server_link)
                if router.mode == XDP:
                    link = options("bpf_link_create_opts", flags=XDP_FLAGS_DRV_MODE)
                    check(lib.bpf_link_create(xdp, index, BPF_XDP, link), problem="sink refused")
                else:
                    hook = options("bpf_tc_hook", ifindex=index, attach_point=BPF_TC_INGRESS)
                    check(lib.bpf_tc_hook_create(hook), problem="no clsact")
                    opts = options("bpf_tc_opts", prog_fd=tc, handle=1, priority=1)
                    check(lib.bpf_tc_attach(hook, opts), problem="sink refused")


@contextmanager
def site(folder: Path) -> Iterator[tuple[Router, ...]]:
    """The routers, ready."""
    routers = build(MODES)
    by_mode = {router.mode: router for router in routers}
    pins = folder / "bpf"
    pins.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", pins], check=True)
    try:
        balancing.translate(by_mode[BASELINE])
        balancing.balance(by_mode["shoal-tc"], pins, hook=Hook.TC)
        balancing.balance(by_mode[XDP], pins, hook=Hook.XDP, frames=True)
        for router in routers:
            if router.mode != XDP:  # a veth takes frames only where its other end polls, which GRO turns on
                done = namespaces.run(router.namespace, ["ethtool", "-K", "public", "gro", "on"])
                if done.returncode != 0:
                    raise RuntimeError(f"{router.namespace}: {done.stderr.strip()}")
        yield routers
    finally:
        subprocess.run(["umount", pins], check=True)


class Sender:
    """Sends through one router after the other, and accounts for every packet."""

    def __init__(self, harness: Harness, softirq: int | None) -> None:
        self._harness = harness
        self._softirq = [softirq] if softirq else []
        self._fresh = NEW_FLOWS  # numbers below are of the flows that are established

    def send(self, router: Router, packets: int, plan: Callable[[bytes, int], Plan]) -> float:
        """ns of CPU time per packet. Ends the process when a packet is missing."""
        template = frame(
            macs=router.public_macs,
            source=(router.flows, 0),
            destination=(router.web, balancing.UDP_PORT),
            protocol=UDP,
        )
        with inside(CLIENT):
            self._harness.plan(plan(template, socket.if_nametoindex(router.client_link)))
            before, softirqs = self._harness.arrived(), run_time(self._softirq)
            used = self._harness.generate(packets) + (run_time(self._softirq) - softirqs) * 1e9
        if (arrived := self._harness.arrived() - before) != packets:
            sys.exit(f"small_packets: {router.mode}: {packets} sent, {arrived} arrived")
        return used / packets

    def measure(self, router: Router, load: Load, packets: int) -> float:
        """ns of CPU time per packet of this load, over flows that have just been made (unless all are new)."""
        if router.mode == BASELINE:
            with inside(router.namespace):
                forget_tracked_connections()
        first = 0
        if load.new:
            first, packets = self._fresh, NEW_FLOWS
            self._fresh += NEW_FLOWS
        else:
            self.send(router, load.flows, lambda template, out: _plan(template, out, load.flows))
        return self.send(
            router,
            packets,
            lambda template, out: _plan(template, out, load.flows, first=first, sequential=load.new),
        )


def _plan(template: bytes, out: int, flows: int, *, first: int = 0, sequential: bool = True) -> Plan:
    return Plan(
        template=template, flows=flows, sequential=sequential, first=first, ifindex=out, finished=True
    )


def measure(rounds: int, packets: int, cpu: int) -> list[Row]:
    """All loads through all modes, interleaved; new flows last, since they leave the tables fuller."""
    taken: dict[str, dict[str, list[float]]] = {load.what: {mode: [] for mode in MODES} for load in LOADS}
    with tempfile.TemporaryDirectory(prefix="sbe-") as name, site(Path(name)) as routers:
        harness = Harness.load()
        attach_sinks(harness, routers)
        sender = Sender(harness, ksoftirqd(cpu))
        for load in LOADS:
            for turn in range(rounds):
                for router in turned(routers, turn):
                    taken[load.what][router.mode].append(sender.measure(router, load, packets))
    return [row for load in LOADS for row in rows_of(load, taken[load.what])]


def rows_of(load: Load, taken: Mapping[str, Sequence[float]]) -> list[Row]:
    """One row for each mode, with its ratio to nftables."""
    return [
        Row(
            what=load.what,
            how=mode,
            value=spread(values),
            unit="ns",
            ratio=spread(same_round_ratios(values, taken[BASELINE])),
            aim=load.aim if mode == XDP else None,
        )
        for mode, values in taken.items()
    ]


def main() -> None:
    """Measure, and print the part as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--packets", type=int, default=500_000)
    arguments = parser.parse_args()
    cpu = this_cpu()
    leave_the_host()
    watch = NoiseWatch(cpu)
    rows = measure(arguments.rounds, arguments.packets, cpu)
    hand_over(
        Part(
            name="small_packets",
            title="Small packets",
            about=ABOUT,
            command="taskset -c 1 .venv/bin/python bench/small_packets.py",
            rounds=arguments.rounds,
            baseline=BASELINE,
            rows=tuple(rows),
            noise=watch.noise(),
            seconds=round(watch.seconds, 1),
        )
    )


if __name__ == "__main__":
    main()
