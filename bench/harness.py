"""The programs of ``harness.bpf.c``: repeat a packet through a program, generate live frames, count arrivals."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.dataplane.ebpf.abi import ffi
from shoal.dataplane.ebpf.libbpf import Object, check, lib, options, run_packet
from shoal.dataplane.ebpf.tables import PerCpuCounters

OBJECT = Path(__file__).parent / "built" / "harness.bpf.o"
FRAME_SIZE = 60
LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
BPF_XDP = 37  # enum bpf_attach_type
BATCH = 64  # frames that the kernel sends before it lets softirqs run

ffi.cdef("""
struct xdp_md { __u32 data; __u32 data_end; __u32 data_meta; __u32 ingress_ifindex; __u32 rx_queue_index;
    __u32 egress_ifindex; };
struct plan { __u32 flows; __u32 ifindex; __u32 next; uint16_t sequential; uint16_t finished; __u8 bytes[64]; };
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which packets to make of a template: flow numbers from ``first`` on, modulo ``flows`` (a power of two).

    ``ifindex`` is where the generator sends; ``finished`` keeps a UDP checksum right.
    """

    template: bytes
    flows: int
    sequential: bool
    first: int = 0
    ifindex: int = 0
    finished: bool = False


@dataclass
class Harness:
    """The loaded programs."""

    loaded: Object
    plans: int
    under_test: int
    arrivals: PerCpuCounters
    ingress: int = 0

    @classmethod
    def load(cls) -> "Harness":
        """Load bench/built/harness.bpf.o, which script/bench compiles."""
        loaded = Object(str(OBJECT))
        loaded.load()
        maps = {name: int(lib.bpf_map__fd(handle)) for name, handle in loaded.maps()}
        return cls(
            loaded=loaded,
            plans=maps["plans"],
            under_test=maps["under_test"],
            arrivals=PerCpuCounters(maps["arrived"], "__u64"),
        )

    def plan(self, plan: Plan) -> None:
        """Make these packets from now on."""
        value = ffi.new(
            "struct plan *",
            {
                "flows": plan.flows,
                "ifindex": plan.ifindex,
                "next": plan.first,
                "sequential": plan.sequential,
                "finished": plan.finished,
            },
        )
        value.bytes = plan.template[:64].ljust(64, b"\0")
        result = lib.bpf_map_update_elem(self.plans, ffi.new("__u32 *", 0), value, 0)
        check(result, problem="plan refused")

    def select(self, program: int) -> None:
        """Run this program on them from now on."""
        key, descriptor = ffi.new("__u32 *", 0), ffi.new("__u32 *", program)
        check(lib.bpf_map_update_elem(self.under_test, key, descriptor, 0), problem="tail call refused")

    def come_in_by(self, ifindex: int) -> None:
        """Packets come in by this interface from now on, and not by the loopback.

        The kernel takes only one that has an XDP program (xdp_convert_md_to_buff(), net/bpf/test_run.c).
        """
        flags = options("bpf_link_create_opts")
        check(
            lib.bpf_link_create(self.loaded.program("empty"), ifindex, BPF_XDP, flags), problem="link refused"
        )
        self.ingress = ifindex

    def run(self, repeat: int) -> float:
        """Run so many packets through the selected program; ns of this thread's CPU time each."""
        room = ffi.new("char[]", 512)
        return (
            self._run("harness", repeat, data_out=room, data_size_out=512, **self._came_in(FRAME_SIZE))
            / repeat
        )

    def verdict(self, program: int, frame: bytes) -> int:
        """What this program says of one frame."""
        context = self._came_in(len(frame)).get("ctx_in")
        return run_packet(program, frame, context=context)[0]

    def _came_in(self, length: int) -> dict[str, Any]:
        if not self.ingress:
            return {}
        context = ffi.new("struct xdp_md *", {"data_end": length, "ingress_ifindex": self.ingress})
        return {"ctx_in": context, "ctx_size_in": ffi.sizeof("struct xdp_md")}

    def generate(self, packets: int) -> float:
        """Send so many live frames from the namespace this thread is in; ns of this thread's CPU time in all."""
        return self._run("generate", packets, flags=LIVE_FRAMES, batch_size=BATCH)

    def arrived(self) -> int:
        """Packets that the sinks have counted."""
        return self.arrivals.read(0)[0]

    def _run(self, program: str, repeat: int, **more: Any) -> float:
        packet = bytes(FRAME_SIZE)
        opts = options(
            "bpf_test_run_opts",
            data_in=ffi.from_buffer(packet),
            data_size_in=FRAME_SIZE,
            repeat=repeat,
            **more,
        )
        begin = time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID)
        check(lib.bpf_prog_test_run_opts(self.loaded.program(program), opts), problem="test run refused")
        return float(time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID) - begin)
