"""The file system in which pinned programs and maps live."""

import ctypes
import os
from pathlib import Path

from shoal.errors import KernelError


def ensure_bpffs(pins: Path) -> bool:
    """Mount a bpffs at the parent of ``pins`` when it is not on one already. True: one was mounted."""
    if is_on_bpffs(pins):
        return False
    pins.parent.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(pins.parent), b"bpf", 0, b"mode=0700") < 0:
        raise KernelError(
            errno=ctypes.get_errno(),
            problem="cannot mount a bpffs",
            where=str(pins.parent),
            fix="run as root, or mount it yourself: mount -t bpf bpf " + str(pins.parent),
        )
    return True


def is_on_bpffs(path: Path) -> bool:
    """Whether the nearest folder of ``path`` that exists is on a bpffs."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    return type_of_mount(folder.resolve(), Path("/proc/self/mountinfo").read_text()) == "bpf"


def type_of_mount(folder: Path, mountinfo: str) -> str:
    """File system type of the mount that ``folder`` is on (proc_pid_mountinfo(5)); the last mount wins."""
    best, found = Path("/"), ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(_unescaped(before.split()[4]))
        if folder.is_relative_to(point) and point.is_relative_to(best):
            best, found = point, after.split()[0]
    return found


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
