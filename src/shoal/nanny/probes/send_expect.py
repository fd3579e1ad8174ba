"""Send and expect, over TCP or UDP: the classic check of LVS, with a regular expression beside the prefix.

Over UDP one datagram is sent (an empty one where there is nothing to send) and the first one that comes back
is judged; a connect proves nothing there, so with nothing expected any datagram passes. Over TCP, with
nothing expected, connecting (and sending) is enough.

A regular expression is searched each time something arrives, so that a server that greets and keeps the
connection open is judged at once. ``$`` therefore means the end of what has arrived so far.
"""

import re
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass

from shoal.model import Protocol, SendExpectProbe
from shoal.nanny.machine import Outcome
from shoal.nanny.probes.base import Attempt, excerpt, failed, passed, refused
from shoal.nanny.probes.tcp import TcpAttempt, family_of
from shoal.nanny.questions import Question

LONGEST_ANSWER = 4096
"""Bytes of the answer that are looked at."""

ANY_BYTE = b"*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the answer must be."""

    expect: bytes
    regex: re.Pattern[str] | None

    @property
    def nothing(self) -> bool:
        """Whether no answer is expected at all."""
        return not self.expect and self.regex is None

    def judge(self, answer: bytes, *, complete: bool) -> Outcome | None:
        """The outcome, or None while more of the answer could change it."""
        if self.regex is not None:
            return self._search(answer[:LONGEST_ANSWER], complete=complete)
        wanted = b"" if self.expect == ANY_BYTE else self.expect
        if answer and answer.startswith(wanted):
            return passed(f"answered {excerpt(answer)}")
        if not answer:
            return failed("connection closed without an answer") if complete else None
        if not complete and wanted.startswith(answer):
            return None
        return failed(f"answered {excerpt(answer)}, expected {excerpt(wanted)}")

    def _search(self, answer: bytes, *, complete: bool) -> Outcome | None:
        assert self.regex is not None
        if self.regex.search(answer.decode("utf-8", "replace")) is not None:
            return passed(f"answered {excerpt(answer)}")
        if not complete and len(answer) < LONGEST_ANSWER:
            return None
        if not answer:
            return failed("connection closed without an answer")
        return failed(f"answered {excerpt(answer)}, which does not match /{self.regex.pattern}/")


class TcpConversation(TcpAttempt):
    """Send, then read until the answer is judged."""

    __slots__ = ("_answer", "_expectation", "_unsent")

    def __init__(self, address: tuple[str, int], *, send: bytes, expectation: Expectation) -> None:
        super().__init__(address)
        self._unsent = send
        self._expectation = expectation
        self._answer = b""

    def connected(self) -> Outcome | None:
        """Send."""
        return self.proceed()

    def proceed(self) -> Outcome | None:
        """Send what is left, then read."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if self._expectation.nothing:
                return passed("connected")
            self.wants = select.EPOLLIN
            piece = self._socket.recv(LONGEST_ANSWER)
        except BlockingIOError:
            return None
        except OSError as error:
            return refused(error.errno)
        self._answer += piece
        return self._expectation.judge(self._answer, complete=not piece)

    def stalled(self) -> str:
        """How far it has come."""
        return f"no more than {excerpt(self._answer)}" if self._answer else super().stalled()


class UdpConversation(Attempt):
    """Send a datagram, judge the first that comes back."""

    __slots__ = ("_address", "_expectation", "_send", "_socket")

    def __init__(self, address: tuple[str, int], *, send: bytes, expectation: Expectation) -> None:
        self._address = address
        self._send = send
        self._expectation = expectation
        self._socket: socket.socket
        self.wants = select.EPOLLIN

    def open(self) -> Outcome | None:
        """Send the datagram."""
        try:
            self._socket = socket.socket(
                family_of(self._address[0]), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
        except OSError as error:
            return refused(error.errno)
        try:
            self._socket.connect(self._address)
            self._socket.send(self._send)
        except OSError as error:
            self._socket.close()
            return refused(error.errno)
        return None

    def fileno(self) -> int:
        """The socket."""
        return self._socket.fileno()

    def ready(self) -> Outcome | None:
        """A datagram came, or word that nobody listens."""
        try:
            answer = self._socket.recv(LONGEST_ANSWER)
        except BlockingIOError:
            return None
        except ConnectionRefusedError:
            return failed("port unreachable")
        except OSError as error:
            return refused(error.errno)
        if self._expectation.nothing:
            return passed(f"answered {excerpt(answer)}")
        if not answer:
            return failed("answered with an empty datagram")
        return self._expectation.judge(answer, complete=True)

    def stalled(self) -> str:
        """What the real server owes."""
        return "no answer"

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def prepare(question: Question, *, probe: SendExpectProbe) -> Callable[[], Attempt]:
    """What makes the attempts for a question."""
    address = str(question.address), question.port
    expectation = Expectation(
        expect=b"" if probe.regex else probe.expect,
        regex=re.compile(probe.regex) if probe.regex else None,
    )
    if question.protocol is Protocol.UDP:
        return lambda: UdpConversation(address, send=probe.send, expectation=expectation)
    return lambda: TcpConversation(address, send=probe.send, expectation=expectation)
