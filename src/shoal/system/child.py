"""A child process that the supervisor starts, watches by its pidfd, and ends."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from shoal.system.process import lock_holder

OURS = b"shoal"


class ChildProcess:
    """One running child, in a process group of its own: Ctrl-C at a terminal is the supervisor's alone."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, process_group=0)
        self._pidfd = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable once the process has ended."""
        return self._pidfd

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended does not mind."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def reap(self) -> int | None:
        """Its exit status (negative: the signal that ended it) once it has ended; None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        """Wait for its end, ``timeout`` seconds at most."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Let go of a child that has been reaped."""
        os.close(self._pidfd)


def end_orphan(lock: Path, *, timeout: float = 2.0) -> int | None:
    """Kill the process that still holds a child's lock because its supervisor died; returns its pid.

    Only a process of Shoal is killed: the pid in a lock may by now be another program's.
    """
    pid = lock_holder(lock)
    if pid is None:
        return None
    try:
        pidfd = os.pidfd_open(pid)
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return None
    try:
        if OURS not in command:
            return None
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        deadline = time.monotonic() + timeout
        while lock_holder(lock) == pid and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        os.close(pidfd)
    return pid
