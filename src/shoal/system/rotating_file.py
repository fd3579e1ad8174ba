"""A log file that is only appended to, and never stops its writer: not by growing, not by a full disk."""

import contextlib
import errno
import os
from pathlib import Path


class RotatingFile:
    """Appends lines to ``path``; at ``limit`` bytes it becomes ``path.1``, and so on, ``keep`` files in all.

    ``trouble`` says why lines are not being written at present; empty while they are.
    """

    def __init__(self, path: Path, *, limit: int = 10_000_000, keep: int = 3) -> None:
        self._path = path
        self._limit = limit
        self._keep = keep
        self._descriptor: int | None = None
        self._size = 0
        self.trouble = ""

    def append(self, line: bytes) -> bool:
        """Write a line. False: it could not be written (``trouble`` says why); the next one tries again."""
        try:
            if self._descriptor is not None and self._size + len(line) > self._limit:
                self._rotate()
            if self._descriptor is None:
                self._open()
            self._write(line)
        except OSError as error:
            self.trouble = f"{self._path}: {os.strerror(error.errno or 0)}"
            self.close()
            return False
        self.trouble = ""
        return True

    def tail(self, limit: int) -> list[bytes]:
        """The last ``limit`` lines that were written before, oldest first."""
        lines: list[bytes] = []
        for generation in range(self._keep):
            with contextlib.suppress(OSError):
                lines = self._generation(generation).read_bytes().splitlines() + lines
            if len(lines) >= limit:
                break
        return lines[-limit:]

    def close(self) -> None:
        """Let go of the file; the next ``append`` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _generation(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._write(b"\n")  # a predecessor was cut off in the middle of a line

    def _write(self, line: bytes) -> None:
        assert self._descriptor is not None
        written = os.write(self._descriptor, line)
        self._size += written
        if written < len(line):
            os.ftruncate(self._descriptor, self._size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _rotate(self) -> None:
        self.close()
        for number in reversed(range(self._keep - 1)):
            with contextlib.suppress(FileNotFoundError):
                self._generation(number).replace(self._generation(number + 1))
