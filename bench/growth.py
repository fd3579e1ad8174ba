"""Whether an established connection's packet costs more where there are many virtual or real servers.

    taskset -c 1 .venv/bin/python bench/growth.py [--rounds 15] [--repeat 100000]

The protocol is that of packet_cost.py, under NAT, with 4,096 flows. Every cluster has tables of its own, of one size.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figures import Part, Row, at_most
from harness import Harness
from machine import NoiseWatch, hand_over, leave_the_host, this_cpu
from packet_cost import POOL, TABLE, VIP, fill, mark_way_out, prepare_network, samples, sh
from ratios import same_round_ratios, spread
from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane
from shoal.model import ForwardingMethod, Listener, Protocol

FLOWS = 4096
ABOUT = (
    f"A packet of one of {FLOWS:,} established connections under NAT, in a small cluster, and in one that has many "
    "more virtual servers, or real servers over which these connections are spread."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a cluster: virtual servers, and real servers of each."""

    virtual_servers: int
    real_servers: int

    def __str__(self) -> str:
        return f"{self.virtual_servers:,} x {self.real_servers:,}"


SMALL = Size(virtual_servers=1, real_servers=4)
SIZES = (SMALL, Size(virtual_servers=4096, real_servers=4), Size(virtual_servers=1, real_servers=1024))


def services(size: Size) -> Iterator[PutService]:
    """The first is the one whose connections are measured."""
    for number in range(size.virtual_servers):
        endpoints = ((POOL[each % len(POOL)], 1000 + each // len(POOL)) for each in range(size.real_servers))
        yield PutService(
            service=Service(
                name=f"vs{number}",
                listeners=(Listener(address=VIP + number, port=80, protocol=Protocol.TCP),),
                scheduler="rr",
                method=ForwardingMethod.NAT,
                destinations=tuple(Destination(address=to, port=port, weight=1) for to, port in endpoints),
            )
        )


def measure(rounds: int, repeat: int) -> list[Row]:
    """A row for each size of cluster."""
    way_out, opened = prepare_network(), dict[str, EbpfDataplane]()
    with tempfile.TemporaryDirectory(prefix="sbe-") as folder:
        sh(f"mount -t bpf bpf {folder}")
        try:
            harness = Harness.load()
            for number, size in enumerate(SIZES):
                opened[str(size)] = dataplane = EbpfDataplane.open(
                    Path(folder) / str(number),
                    max_connections=TABLE,
                    max_virtual_servers=4200,
                    max_real_servers=65_536,
                )
                dataplane.apply(list(services(size)))
                mark_way_out(dataplane, way_out)
            programs = {name: each._loaded.program("shoal_xdp") for name, each in opened.items()}
            known = {**programs, "single_lookup": harness.loaded.program("single_lookup")}
            for name in programs:
                fill(harness, known, FLOWS, under_test=name)
            taken = samples(harness, programs, rounds=rounds, repeat=repeat)
        finally:
            for dataplane in opened.values():
                dataplane.remove()
            sh(f"umount {folder}")
    return [
        Row(
            what="virtual servers x real servers",
            how=name,
            value=spread(values),
            unit="ns",
            ratio=spread(same_round_ratios(values, taken[str(SMALL)])),
            aim=None if name == str(SMALL) else at_most(1.1),
        )
        for name, values in taken.items()
    ]


def main() -> None:
    """Measure, and print the part as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeat", type=int, default=100_000)
    arguments = parser.parse_args()
    leave_the_host()
    watch = NoiseWatch(this_cpu())
    rows = measure(arguments.rounds, arguments.repeat)
    hand_over(
        Part(
            name="growth",
            title="Many virtual and real servers",
            about=ABOUT,
            command="taskset -c 1 .venv/bin/python bench/growth.py",
            rounds=arguments.rounds,
            baseline=str(SMALL),
            rows=tuple(rows),
            noise=watch.noise(),
            seconds=round(watch.seconds, 1),
        )
    )


if __name__ == "__main__":
    main()
