"""Network namespaces: make them, run programs in them, end what runs in them, remove them.

Programs enter with ``nsenter --net``, not with ``ip netns exec``: the latter gives them a mount namespace of
their own, and what they pin in a bpffs would be lost with it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from shoal.errors import ForbiddenError, InternalError, UnavailableError

FOLDER = Path("/run/netns")
_ENDING_LIMIT = 5.0  # seconds until processes that were killed must be gone


def require_root() -> None:
    """Raise ForbiddenError unless this process may make network namespaces."""
    if os.geteuid() != 0:
        raise ForbiddenError(
            where="lab",
            problem=f"network namespaces need root, this is uid {os.geteuid()}",
            fix="run it with sudo, or as root",
        )


def batch(lines: Sequence[str], *, namespace: str | None = None, program: str = "ip") -> None:
    """Run ``ip -batch`` (or ``bridge -batch``) lines, in a namespace or on the host.

    Raises UnavailableError with the program's own words. The program ends with this process: that of a killed lab
    would go on making namespaces that the next one has just removed.
    """
    entered = ("-n", namespace) if namespace else ()
    command = ["setpriv", "--pdeathsig", "KILL", program, *entered, "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnavailableError(
            where=f"lab, namespace {namespace or 'of the host'}",
            problem=f"{program} refused: {done.stderr.strip()}",
            fix="run 'shoal lab down' and try again",
        )


def add(names: Sequence[str]) -> None:
    """Create namespaces."""
    batch([f"netns add {name}" for name in names])


def exists(name: str) -> bool:
    """Whether a namespace of that name is there."""
    return (FOLDER / name).exists()


def remove_all(names: Iterable[str]) -> None:
    """Delete those of the namespaces that are there. Their interfaces go with them."""
    if lines := [f"netns del {name}" for name in names if exists(name)]:
        batch(lines)


def identity(name: str) -> tuple[int, int]:
    """Device and inode of a namespace: what tells whether a process is in it."""
    status = (FOLDER / name).stat()
    return status.st_dev, status.st_ino


def processes() -> Iterator[tuple[int, tuple[int, int]]]:
    """Every process of this machine, with the identity of its network namespace."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            status = os.stat(f"/proc/{entry}/ns/net")
            yield int(entry), (status.st_dev, status.st_ino)


def processes_in(names: Iterable[str]) -> dict[str, list[int]]:
    """The processes in each of these namespaces (those that exist)."""
    found: dict[str, list[int]] = {name: [] for name in names if exists(name)}
    names_by_identity = {identity(name): name for name in found}
    for pid, where in processes():
        if where in names_by_identity and pid != os.getpid():
            found[names_by_identity[where]].append(pid)
    return found


def process_name(pid: int) -> str:
    """The name the kernel shows for a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def command_line(pid: int) -> tuple[str, ...]:
    """The arguments a process was started with; empty when it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(part) for part in raw.split(b"\0")[:-1])


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes; those that are gone already do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_processes(names: Sequence[str]) -> None:
    """SIGKILL everything in these namespaces, and wait until it is gone. Raises InternalError if it stays."""
    deadline = time.monotonic() + _ENDING_LIMIT
    while True:
        remaining = [pid for pids in processes_in(names).values() for pid in pids]
        if not remaining:
            return
        if time.monotonic() > deadline:
            names_left = ", ".join(f"{pid} {process_name(pid)}" for pid in remaining)
            raise InternalError(where="lab", problem=f"processes do not die: {names_left}")
        send_signal(remaining, signal.SIGKILL)
        time.sleep(0.005)


def enter(name: str, command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` in a namespace; pid and exit status are the command's own."""
    return ["nsenter", f"--net={FOLDER / name}", "--", *command]


def run(name: str, command: Sequence[str], *, timeout: float = 10.0) -> subprocess.CompletedProcess[str]:
    """Run a program in a namespace and wait for it. Raises UnavailableError after ``timeout`` seconds."""
    try:
        return subprocess.run(
            enter(name, command), capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            where=f"lab, namespace {name}", problem=f"{' '.join(command)} took more than {timeout:g} s"
        ) from error


def start(name: str, command: Sequence[str], *, log: Path, environment: dict[str, str] | None = None) -> None:
    """Start a daemon in a namespace: in its own session, orphaned, its output appended to ``log``."""
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", *enter(name, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            check=True,
        )
