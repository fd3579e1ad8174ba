"""A qemu guest with a kernel of its own, which runs tests of this checkout and says what became of each.

The guest sees the host's files by 9p, read-only, under an overlay in its memory: it runs the host's Python, iproute2
and libbpf, and this checkout, where they are. Emulated (TCG), so that it runs wherever qemu does.
"""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support import guest_report
from support.guest_image import KernelPackage, initramfs

CHECKOUT = Path(__file__).resolve().parents[2]
KERNEL = KernelPackage(CHECKOUT / ".guest")
BYTECODE = KERNEL.folder / "bytecode"
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
_FIX = "script/bootstrap --guest installs it"
_COMMAND_LINE = (
    "console=ttyS0 quiet panic=-1 "  # a panic ends qemu
    # what emulation does not need, or times out on when the host is busy
    "mitigations=off nokaslr tsc=reliable no_timer_check nowatchdog cryptomgr.notests random.trust_cpu=on "
    "audit=0 apparmor=0 selinux=0 rcupdate.rcu_expedited=1 8250.nr_uarts=1"
)
_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /host
$b mount -t tmpfs scratch /scratch; $b mkdir /scratch/upper /scratch/work
$b mount -t overlay -o lowerdir=/host,upperdir=/scratch/upper,workdir=/scratch/work overlay /root
$b mount -t proc proc /root/proc; $b mount -t sysfs sys /root/sys; $b mount -t devtmpfs dev /root/dev
$b mount -t tmpfs run /root/run
$b mount -t bpf bpf /root/sys/fs/bpf; $b mount -t cgroup2 cgroup /root/sys/fs/cgroup
$b mkdir -p /root/lib/modules/$($b uname -r); $b mount --bind /host{modules} /root/lib/modules/$($b uname -r)
$b ip link set lo up
$b cat >/root/run/commands <<'COMMANDS'
{commands}
wait
echo b >/proc/sysrq-trigger
COMMANDS
exec $b switch_root /root /bin/sh /run/commands
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test in the guest."""

    passed: bool
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class GuestRun:
    """What a guest was asked to run, the outcomes by node id as far as it came, and what its console said."""

    tests: tuple[str, ...]
    outcomes: dict[str, Outcome]
    console: str

    def outcomes_of(self, test: str) -> dict[str, Outcome]:
        """Those of a test with all its parameters; one that has not been reported has not passed."""
        unknown = Outcome(False, f"no outcome; the console ends with\n{self.console[-4000:]}", 0.0)
        wanted = (each for each in self.tests if each == test or each.startswith(f"{test}["))
        return {each: self.outcomes.get(each, unknown) for each in wanted}


def _pytest(tests: Sequence[str], *options: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *tests]


def _environment(**more: str) -> dict[str, str]:
    """Bytecode is compiled by the host and read by the guest, which would take a minute over it."""
    return {
        "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}/tests",
        "PYTHONPYCACHEPREFIX": str(BYTECODE),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        **more,
    }


def collected(tests: Sequence[str]) -> tuple[str, ...]:
    """The node ids that these arguments of pytest stand for. Raises AssertionError when one stands for nothing."""
    environment = {**os.environ, **_environment()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    options = ("--collect-only", "-p", "support.guest_report")
    found = subprocess.run(
        _pytest(tests, *options),
        check=False,
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return tuple(line for line in found.stdout.splitlines() if "::" in line)


def _command(tests: Sequence[str], port: str) -> str:
    """A line of shell that runs tests and reports to a port."""
    environment = _environment(
        **{guest_report.PORT: port}, PYTHONDONTWRITEBYTECODE="1", PATH=os.environ["PATH"], HOME="/tmp"
    )
    words = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    words += _pytest(
        tests, "-p", "support.guest_report", "--tb=short", "--color=no", "--no-summary", "--maxfail=5"
    )
    return f"cd {shlex.quote(str(CHECKOUT))} && {shlex.join(words)} &"


def _qemu(folder: Path, ports: Sequence[str]) -> list[str]:
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        raise FileNotFoundError(f"qemu-system-x86_64 is not installed. Fix: {_FIX}")
    command = ["setpriv", "--pdeathsig", "KILL", program, "-nodefaults", "-no-user-config", "-no-reboot"]
    command += ["-display", "none", "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max"]
    command += ["-smp", "2", "-m", "2G", "-kernel", f"{folder}/vmlinux", "-initrd", f"{folder}/initramfs"]
    command += ["-append", _COMMAND_LINE, "-chardev", f"file,id=console,path={folder}/console"]
    command += ["-serial", "chardev:console", "-device", "virtio-serial-pci", "-fsdev"]
    command += ["local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"]
    command += ["-device", "virtio-9p-pci,fsdev=root,mount_tag=root"]
    for port in ports:
        command += ["-chardev", f"file,id={port},path={folder}/{port}"]
        command += ["-device", f"virtserialport,chardev={port},name={port}"]
    return command


def run_tests(groups: Mapping[str, Sequence[str]], *, deadline: float) -> GuestRun:
    """Boot, run each group of tests in a process of its own, power off.

    After ``deadline`` seconds the guest is killed; what it has reported by then counts. Raises FileNotFoundError
    when qemu, busybox or the kernel is missing.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError(f"busybox is not installed. Fix: {_FIX}")
    commands = "\n".join(_command(tests, port) for port, tests in groups.items())
    init = _INIT.format(modules=KERNEL.modules, commands=commands)
    modules = KERNEL.in_load_order(MODULES)
    with tempfile.TemporaryDirectory(prefix="shoal-guest-") as name:
        folder = Path(name)
        (folder / "vmlinux").write_bytes(KERNEL.vmlinux())
        (folder / "initramfs").write_bytes(initramfs(init=init, programs=[Path(busybox)], modules=modules))
        _run(_qemu(folder, list(groups)), folder / "qemu", deadline)
        console = "".join(_text(folder / each) for each in ("qemu", "console"))
        told = "".join(_text(folder / port) for port in groups)
    return GuestRun(tuple(test for tests in groups.values() for test in tests), _outcomes(told), console)


def _run(command: Sequence[str], output: Path, deadline: float) -> None:
    with output.open("w") as file:
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                qemu.wait(deadline)
        finally:
            qemu.kill()
            qemu.wait()


def _text(file: Path) -> str:
    """The whole lines of a file, which is missing when qemu has not come so far."""
    text = file.read_text(errors="replace") if file.exists() else ""
    return text[: text.rfind("\n") + 1]


def _outcomes(told: str) -> dict[str, Outcome]:
    """Of all that is told of a test, what went wrong counts."""
    outcomes: dict[str, Outcome] = {}
    for line in told.splitlines():
        report = json.loads(line)
        if report["test"] not in outcomes or report["outcome"] != "passed":
            passed = report["outcome"] == "passed"
            outcomes[report["test"]] = Outcome(passed, report["text"], report["seconds"])
    return outcomes
