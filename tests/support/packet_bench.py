"""The eBPF dataplane on a bench: packets go in by BPF_PROG_TEST_RUN, verdict and packet come out."""

import contextlib
import itertools
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from shoal.dataplane.base import Drop, PutService, Service
from shoal.dataplane.ebpf.abi import INTERFACE_FLAGS, LIMITS, STATES, TICK_SECONDS, ffi
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.dataplane.ebpf.libbpf import run_packet
from shoal.dataplane.ebpf.tables import Table
from shoal.dataplane.packet import IP_HEADER, Packet
from shoal.model import Address
from support.namespaces import bpffs, inside, own_name, run
from support.packets import DESTINATION_MAC, ETHERNET, Frame, decode_packet, encode_packet
from support.translation import packet_to_ipv4, packet_to_ipv6, service_to_ipv6, to_ipv6

XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT = range(5)
TC_ACT_OK, TC_ACT_SHOT, TC_ACT_REDIRECT = 0, 2, 7
PASS, DROP, SEND, HOLD = "pass", "drop", "send", "hold"
ANSWER = "answer"  # dropped, and an ICMP error to the sender leaves instead
_VERDICTS = {
    "shoal_xdp": {XDP_PASS: PASS, XDP_DROP: DROP, XDP_TX: SEND, XDP_REDIRECT: SEND},
    "shoal_tc": {TC_ACT_OK: PASS, TC_ACT_SHOT: DROP, TC_ACT_REDIRECT: SEND},
}
_numbers = itertools.count()
MAX_TEMPLATES = 64
ARRAYS = (
    "destinations",
    "loads",
    "encapsulations",
    "thresholds",
    "services",
    "service_loads",
    "overloads",
    "service_configs",
    "local_pools",
    "filter",
    "ownership",
    "held_fragments",
)
HASHES = (
    "listeners",
    "reverses",
    "localities",
    "replica_sets",
    "templates",
    "fragments",
    "held_chains",
    "local_ports",
    "listener_ranges",
    "marks",
    "access",
    "source_arrivals",
)
"""Maps that a reset empties, beside the connection tables."""
ETH_P_ALL = 3
TICK_SHIFT = LIMITS["SHOAL_TICK_SHIFT"]
NEIGHBOUR_MAC = "02:00:00:00:0f:fe"


class PacketBench:
    """A router whose every route leads to one interface with one neighbour, and a program to feed."""

    def __init__(self, namespace: str, pins: Path, program: str, *, max_connections: int) -> None:
        self._limits = {
            "max_connections": max_connections,
            "max_connections_ipv6": max_connections,
            "max_templates": MAX_TEMPLATES,
        }
        self.namespace = namespace
        self.family = 4
        self.pins = pins
        self.program = program
        with inside(namespace):
            (self.interface,) = find_interfaces(["out"])
            self.dataplane = EbpfDataplane.open(pins, **self._limits)
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            self._wire.bind(("lo", ETH_P_ALL))
        self.released: list[tuple[str, bytes, Drop | None]] = []
        self._holds, self._held_since = False, 0
        flags = self.dataplane._loaded.dictionary("interfaces")
        way_out = ffi.new("__u32 *", INTERFACE_FLAGS["SHOAL_XDP_TARGET"])
        flags.put(ffi.new("__u32 *", self.interface.index), way_out)

    @property
    def shortest_frame(self) -> int:
        """What the kernel accepts for a test run: it wants whole IP headers for socket buffers."""
        return ETHERNET.size + IP_HEADER[self.family] if self.program == "shoal_tc" else ETHERNET.size

    def address(self, address: Address) -> Address:
        """What an IPv4 address stands for in this bench's family."""
        return to_ipv6(address) if self.family == 6 else address

    def frame(self, packet: Packet, **how: Any) -> bytes:
        """A packet that is written down in IPv4, as a frame of this bench's family."""
        return encode_packet(packet_to_ipv6(packet) if self.family == 6 else packet, **how)

    def decoded(self, frame: bytes) -> Frame:
        """A frame of this bench's family with its packet in IPv4 again."""
        decoded = decode_packet(frame)
        return replace(decoded, packet=packet_to_ipv4(decoded.packet)) if self.family == 6 else decoded

    def put(self, service: Service) -> None:
        """Install a service that is written down in IPv4, in this bench's family."""
        here = service_to_ipv6(service) if self.family == 6 else service
        self.dataplane.apply([PutService(service=here)])

    @property
    def connection_table(self) -> Table:
        """That of this bench's family."""
        return self.dataplane._loaded.table(f"connections{self.family}")

    @property
    def places(self) -> int:
        """How many connections that table has room for."""
        counters = self.dataplane.counters()
        return counters.ipv6_connections_limit if self.family == 6 else counters.connections_limit

    def send(self, frame: bytes, *, program: str = "") -> tuple[str, bytes, Drop | None]:
        """Verdict, the frame as the program left it, and the reason of a drop.

        What the program sends around comes in again: the first of that is meant, the rest is in ``released``.
        """
        program = program or self.program
        if self._holds:  # they wait for the bench's time, not for a busy machine's
            now = time.monotonic_ns() >> TICK_SHIFT
            self._age_held(self._held_since - now)
            self._held_since = now
        before = self._drops()
        with inside(self.namespace):
            code, after = run_packet(self.dataplane._loaded.program(program), frame)
        verdict = _VERDICTS[program][code]
        grown = [drop for drop, count in self._drops().items() if count > before.get(drop, 0)]
        around = self._sent_around()
        if verdict == DROP and around:
            found = self.send(around[0], program=program)
            self.released += [self.send(each, program=program) for each in around[1:]]
            return found
        if verdict == DROP and not grown:
            if not self._holds:
                self._holds, self._held_since = True, time.monotonic_ns() >> TICK_SHIFT
            return HOLD, frame, None
        if verdict == SEND and grown:
            verdict = ANSWER
        assert len(grown) == (verdict in (DROP, ANSWER)), f"verdict {verdict}, counted {grown}"
        return verdict, after, grown[0] if grown else None

    def send_many(self, frame: bytes, times: int) -> Counter[str]:
        """How often each verdict came, when a frame is sent over and over as quickly as that goes."""
        with inside(self.namespace):
            program = self.dataplane._loaded.program(self.program)
            codes = Counter(run_packet(program, frame)[0] for _ in range(times))
        return Counter({_VERDICTS[self.program][code]: count for code, count in codes.items()})

    def _sent_around(self) -> list[bytes]:
        """The frames that came in again by the interface of the test runs."""
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(self._wire.recv(4096))
        return frames

    def _drops(self) -> dict[Drop, int]:
        counters = self.dataplane.counters()
        totals = dict(counters.drops)
        for service in counters.services.values():
            for drop, count in service.drops.items():
                totals[drop] = totals.get(drop, 0) + count
        return totals

    def advance(self, seconds: float) -> None:
        """Let time pass for the connections: their deadlines come nearer."""
        ticks = round(seconds / TICK_SECONDS)
        for table in self.connection_tables():
            for number in range(len(table)):
                for slot in table[number].slot:
                    if slot.word & 0xFF > STATES["SHOAL_BUSY"]:
                        slot.expires = slot.expires - ticks & 0xFFFFFFFF
        templates = self.dataplane._loaded.dictionary("templates")
        for key, value in list(templates.items()):
            value.expires = value.expires - ticks & 0xFFFFFFFF
            templates.put(key, value)
        for destination in self.dataplane._loaded.table("destinations"):
            if destination.drain_until:
                destination.drain_until = destination.drain_until - ticks & 0xFFFFFFFF
        self._age_held(ticks)
        told = self.dataplane._loaded.dictionary("fragments")
        for key, ports in list(told.items()):
            ports.tick = ports.tick - ticks & 0xFFFFFFFF
            told.put(key, ports)
        for overload in (self.dataplane._loaded.table("overloads")[index] for index in (0, 1)):
            overload.tick = overload.tick - ticks & 0xFFFFFFFF
        arrivals = self.dataplane._loaded.dictionary("source_arrivals")
        for key, due in list(arrivals.items()):
            arrivals.put(key, ffi.new("__u64 *", max(0, due[0] - round(seconds * 1e9))))

    def _age_held(self, ticks: int) -> None:
        """Let time pass for the fragments that wait."""
        for place in self.dataplane._loaded.table("held_fragments"):
            place.tick = place.tick + -ticks & 0xFFFFFFFF

    def connection_tables(self) -> list[Table]:
        """Those of both families, or of IPv4 alone while IPv6 is not in use."""
        loaded = self.dataplane._loaded
        return [loaded.table(f"connections{family}") for family in (4, 6) if family == 4 or loaded.ipv6]

    def reset(self) -> None:
        """As if it had just been loaded: empty tables, no services. Far quicker than loading."""
        self.family = 4
        self.released.clear()
        self._holds = False
        loaded = self.dataplane._loaded
        for table in self.connection_tables():
            table.clear()
        for name in ARRAYS:
            loaded.table(name).clear()
        for name in HASHES:
            dictionary = loaded.dictionary(name)
            for key, _ in list(dictionary.items()):
                dictionary.delete(key)
        loaded.counters("service_counters").clear(0)
        self.dataplane._own_addresses.close()
        with inside(self.namespace):
            self.dataplane = EbpfDataplane(loaded, self.pins)

    def close(self) -> None:
        """Let go of the wire."""
        self._wire.close()

    def reopen(self) -> None:
        """Let go of the dataplane and take it over again."""
        self.dataplane.close()
        with inside(self.namespace):
            self.dataplane = EbpfDataplane.open(self.pins, **self._limits)


@contextlib.contextmanager
def packet_bench(program: str = "shoal_xdp", *, max_connections: int = 1024) -> Iterator[PacketBench]:
    """A bench in a namespace and a bpffs of its own."""
    namespace = f"{own_name('sb')}-{next(_numbers)}"
    run(f"ip netns add {namespace}")
    try:
        run(f"ip -n {namespace} link add out type veth peer name far")
        for link in ("lo", "out", "far"):
            run(f"ip -n {namespace} link set {link} up")
        # a test run's frames arrive on lo; what is not for its MAC would be another host's
        run(f"ip -n {namespace} link set lo address {DESTINATION_MAC.hex(':')}")
        run(f"ip -n {namespace} address add 192.168.255.1/30 dev out")
        run(f"ip -n {namespace} address add 2001:db8:255::1/64 dev out nodad")
        for neighbour in ("192.168.255.2", "2001:db8:255::2"):
            run(f"ip -n {namespace} neigh replace {neighbour} lladdr {NEIGHBOUR_MAC} dev out nud permanent")
            run(f"ip -n {namespace} route add default via {neighbour}")
        forwarding = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        run(f"ip netns exec {namespace} sysctl -qw {forwarding}")
        with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder, bpffs(Path(folder)) as mounted:
            bench = PacketBench(namespace, mounted / "pins", program, max_connections=max_connections)
            try:
                yield bench
            finally:
                bench.dataplane.remove()
                bench.close()
    finally:
        run(f"ip netns del {namespace}")
