"""SIGTERM and SIGHUP as something a poll loop can wait for."""

import contextlib
import signal
import socket
from types import FrameType


class Signals:
    """Takes over SIGTERM, SIGINT (stop) and SIGHUP (reload) of this process."""

    def __init__(self) -> None:
        self._stop = self._reload = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def fileno(self) -> int:
        """Readable once a signal came or ``wake`` was called."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make the loop run a pass; may be called from another thread."""
        with contextlib.suppress(BlockingIOError):
            self._writer.send(b"\0")

    def take(self) -> tuple[bool, bool]:
        """Whether to stop, and whether to reload; asks are forgotten once taken."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        taken = self._stop, self._reload
        self._stop = self._reload = False
        return taken

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stop = True
