"""The seam between the engine and the probes: one try of one probe, fed with readiness."""

import errno
import os
from abc import ABC, abstractmethod
from typing import ClassVar

from shoal.nanny.machine import Outcome, Verdict

# What this router lacks tells nothing about the real server.
_OUR_OWN_LACK = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)


class Attempt(ABC):
    """One try of a probe. Nothing here blocks; the engine calls ``close`` exactly once after a successful
    ``open``.

    ``wants`` is the epoll mask to wait for. ``costly`` attempts run only a few at a time.
    """

    __slots__ = ("wants",)

    costly: ClassVar[bool] = False
    wants: int

    @abstractmethod
    def open(self) -> Outcome | None:
        """Begin. An outcome at once ends the try, and leaves nothing to close."""

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor to wait on; it stays the same while the try lasts."""

    @abstractmethod
    def ready(self) -> Outcome | None:
        """Go on, now that the descriptor is ready; None: it goes on waiting for ``wants``."""

    @abstractmethod
    def stalled(self) -> str:
        """What has not happened yet, to go before "within 1 s"."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything, leaving no traces in the kernel."""


def passed(reason: str) -> Outcome:
    """The real server answered as it should."""
    return Outcome(Verdict.PASS, reason)


def failed(reason: str) -> Outcome:
    """The real server did not answer as it should."""
    return Outcome(Verdict.FAIL, reason)


def refused(code: int | None, *, doing: str = "") -> Outcome:
    """The kernel's refusal as an outcome: a failure, or void where this router itself lacks something."""
    number = code or errno.EIO
    text = os.strerror(number)
    text = text[:1].lower() + text[1:]
    verdict = Verdict.VOID if number in _OUR_OWN_LACK else Verdict.FAIL
    return Outcome(verdict, f"{doing}: {text}" if doing else text)


def excerpt(answer: bytes, *, limit: int = 40) -> str:
    """The beginning of what a real server said, printable and short."""
    text = answer[:limit].decode("ascii", "backslashreplace")
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return f'"{text}"' + ("..." if len(answer) > limit else "")
