"""A process of Shoal: its name, and the lock that makes it the only one of its kind at one place."""

import ctypes
import fcntl
import os
import time
from pathlib import Path

from shoal.errors import UnavailableError

PATIENCE = 0.2  # s
_PR_SET_NAME = 15  # include/uapi/linux/prctl.h


def set_process_name(name: str) -> None:
    """Name this process for ``ps`` and ``top`` (15 bytes at most)."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


class ProcessLock:
    """Held while the process lives; the kernel lets go of it whatever way the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path, *, what: str) -> "ProcessLock":
        """Take the lock at ``path`` and write our pid into it. UnavailableError: another ``what`` has it."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(descriptor):
            os.close(descriptor)
            raise UnavailableError(
                problem=f"another {what} runs already (process {_written_pid(path) or 'unknown'})",
                where=str(path),
                fix="stop that one first, or give this one a --run-dir of its own",
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let go of it; the file stays, so that nobody can lock a file that another has just removed."""
        os.close(self._descriptor)


def _lock(descriptor: int) -> bool:
    """Lock it within ``PATIENCE``: a dying predecessor, or one who only looks, may have it for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        else:
            return True


def lock_holder(path: Path) -> int | None:
    """Process id of who holds the lock at ``path``; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written_pid(path)
    else:
        return None
    finally:
        os.close(descriptor)


def _written_pid(path: Path) -> int | None:
    text = path.read_text(errors="replace").strip()
    return int(text) if text.isdecimal() else None
