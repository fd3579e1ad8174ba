"""The machine under the measurements: what it is, and whose its CPU time was."""

import contextlib
import ctypes
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from figures import Machine, Noise, Part

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_CLONE_NEWNET = 0x40000000
_CLONE_NEWNS = 0x00020000
_LIBC = ctypes.CDLL(None, use_errno=True)


def describe_machine(root: Path) -> Machine:
    """This machine now, and the commit of the checkout at ``root`` ("+": with changes that are not committed)."""
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=names[0] if names else platform.machine(),
        cpus=os.cpu_count() or 1,
        memory_gib=round(pages / 2**30, 1),
        kernel=platform.release(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=_git(root, "rev-parse", "--short", "HEAD") + ("+" if _is_changed(root) else ""),
    )


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _is_changed(root: Path) -> bool:
    return bool(_git(root, "status", "--porcelain", "--untracked-files=no", "--", "bench", "bpf", "src"))


def this_cpu() -> int:
    """The one CPU this process is pinned to. Ends the process with advice when it is not."""
    cpus = os.sched_getaffinity(0)
    if len(cpus) != 1:
        sys.exit("error: not pinned to one CPU\n  fix: run it under 'taskset -c 1', as script/bench does")
    return next(iter(cpus))


def leave_the_host() -> None:
    """Move this process into a network and a mount namespace of its own; all in them goes with its last process."""
    if _LIBC.unshare(_CLONE_NEWNET | _CLONE_NEWNS) != 0:
        sys.exit(f"error: no namespaces ({os.strerror(ctypes.get_errno())})\n  fix: run it as root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in the named network namespace; what is opened meanwhile stays there."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(there)
        yield
    finally:
        _enter(before)
        os.close(there)
        os.close(before)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def ksoftirqd(cpu: int) -> int | None:
    """The process id of the CPU's softirq thread, where it can be seen."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text().strip() == f"ksoftirqd/{cpu}":
                    return int(entry.name)
    return None


def run_time(pids: Iterable[int]) -> float:
    """Seconds that these processes have been on a CPU (Documentation/scheduler/sched-stats.rst)."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _used(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


@dataclass
class CpuTime:
    """Our CPU time on one CPU: this process, the children that ended, ``daemons`` that still run, and softirqs."""

    cpu: int
    daemons: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._softirq = [pid] if (pid := ksoftirqd(self.cpu)) else []

    def seconds(self) -> float:
        """So far. Differences mean something, the value itself does not."""
        ours = _used(resource.RUSAGE_SELF) + _used(resource.RUSAGE_CHILDREN)
        return ours + run_time(self.daemons) + run_time(self._softirq)


def _ticks(cpu: int) -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal (proc(5))."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name == f"cpu{cpu}":
            return [int(value) for value in values[:8]]
    raise LookupError(f"cpu{cpu}")


class NoiseWatch:
    """Begins to watch a CPU when made; ``noise()`` after all our children have ended."""

    def __init__(self, cpu: int) -> None:
        self._cpu = cpu
        self._time = CpuTime(cpu)
        self._ticks = _ticks(cpu)
        self._used = self._time.seconds()
        self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been watching."""
        return time.monotonic() - self._begin

    def noise(self) -> Noise:
        """What the CPU did since."""
        passed = [now - before for now, before in zip(_ticks(self._cpu), self._ticks, strict=True)]
        user, nice, system, _, _, irq, softirq, steal = passed
        busy = (user + nice + system + irq + softirq + steal) * _TICK
        own = self._time.seconds() - self._used
        return Noise(
            own_share=round(min(1.0, own / busy) if busy else 1.0, 3),
            steal_share=round(steal / (sum(passed) or 1), 4),
        )


def hand_over(part: Part) -> None:
    """Print a part as JSON, for script/bench."""
    print(msgspec.json.format(msgspec.json.encode(part), indent=1).decode())
