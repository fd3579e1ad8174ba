"""HTTP and HTTPS: a GET whose status must be an expected one. The body is not read."""

import functools
import re
import select
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from shoal.model import Address, HttpProbe, endpoint
from shoal.nanny.machine import Outcome
from shoal.nanny.probes.base import Attempt, excerpt, failed, passed, refused
from shoal.nanny.probes.tcp import TcpAttempt
from shoal.nanny.questions import Question

LONGEST_ANSWER = 16_384
"""Bytes read in search of a final status: more than any sane interim responses take."""

# RFC 9112 section 4; a bare LF is accepted as section 2.2 allows.
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_PREAMBLE = b"HTTP/1."
_LONGEST_STATUS_LINE = 1024
_SWITCHING_PROTOCOLS = 101
_LEFT_AS_THEY_ARE = "%/:=&?~#+!$,;'@()*[]-._"

_Step = Callable[["HttpAttempt"], Outcome | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is the same in every attempt. ``context`` is None without TLS; ``expected`` is for people."""

    address: tuple[str, int]
    content: bytes
    statuses: tuple[tuple[int, int], ...]
    expected: str
    context: ssl.SSLContext | None
    server_name: str


class HttpAttempt(TcpAttempt):
    """One GET."""

    __slots__ = ("_answer", "_request", "_step", "_unsent")

    def __init__(self, request: Request) -> None:
        super().__init__(request.address)
        self._request = request
        self._unsent = request.content
        self._answer = b""
        self._step: _Step = HttpAttempt._send

    def connected(self) -> Outcome | None:
        """Begin the TLS handshake, or send the request."""
        context = self._request.context
        if context is not None:
            try:
                # The descriptor stays the same, so the engine need not know.
                self._socket = context.wrap_socket(
                    self._socket,
                    server_hostname=self._request.server_name,
                    do_handshake_on_connect=False,
                )
            except (OSError, ValueError) as error:
                return failed(f"TLS: {error}")
            self._step = HttpAttempt._shake_hands
        return self.proceed()

    def proceed(self) -> Outcome | None:
        """Take every step that is possible now."""
        try:
            return self._step(self)
        except ssl.SSLWantReadError:
            self.wants = select.EPOLLIN
        except ssl.SSLWantWriteError:
            self.wants = select.EPOLLOUT
        except BlockingIOError:
            self.wants = select.EPOLLOUT if self._step is HttpAttempt._send else select.EPOLLIN
        except ssl.SSLCertVerificationError as error:
            return failed(f"TLS: certificate refused: {error.verify_message}")
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return failed(f"TLS: connection closed, {self.stalled()}")
        except ssl.SSLError as error:
            return failed(f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}")
        except OSError as error:
            return refused(error.errno)
        return None

    def stalled(self) -> str:
        """How far it has come."""
        if self._step is HttpAttempt._shake_hands:
            return "no TLS handshake"
        return super().stalled() if not self._answer else "no whole status line"

    def _shake_hands(self) -> Outcome | None:
        assert isinstance(self._socket, ssl.SSLSocket)
        self._socket.do_handshake()
        self._step = HttpAttempt._send
        return self._send()

    def _send(self) -> Outcome | None:
        while self._unsent:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        self.wants = select.EPOLLIN
        self._step = HttpAttempt._read
        return None if self._request.context is None else self._read()

    def _read(self) -> Outcome | None:
        while True:
            piece = self._socket.recv(4096)
            if not piece:
                return failed(_cut_short(self._answer))
            self._answer += piece
            outcome = self._judge()
            if outcome is not None or self._request.context is None:
                return outcome

    def _judge(self) -> Outcome | None:
        """The outcome as soon as the final status is known."""
        while (line := _STATUS_LINE.match(self._answer)) is not None:
            status = int(line[1])
            if status >= 200 or status == _SWITCHING_PROTOCOLS:
                return self._compare(status)
            end = _END_OF_HEAD.search(self._answer, line.end() - 1)
            if end is None:
                break
            self._answer = self._answer[
                end.end() :
            ]  # RFC 9110 15.2: an interim response; the final one follows
        else:
            if _is_junk(self._answer):
                return failed(f"not an HTTP answer: {excerpt(self._answer)}")
        return failed("the answer has no end of its head") if len(self._answer) > LONGEST_ANSWER else None

    def _compare(self, status: int) -> Outcome:
        if any(low <= status <= high for low, high in self._request.statuses):
            return passed(f"HTTP {status}")
        return failed(f"HTTP {status}, expected {self._request.expected}")


def prepare(question: Question, *, probe: HttpProbe) -> Callable[[], Attempt]:
    """What makes the attempts for a question."""
    host = probe.host or _authority(question.address, port=question.port, tls=probe.tls)
    request = Request(
        address=(str(question.address), question.port),
        content=(
            f"GET {quote(probe.path, safe=_LEFT_AS_THEY_ARE)} HTTP/1.1\r\n"
            f"Host: {quote(host, safe=':[]-._')}\r\n"
            "User-Agent: shoal\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        ).encode("ascii"),
        statuses=probe.statuses,
        expected=", ".join(f"{low}-{high}" if low != high else str(low) for low, high in probe.statuses),
        context=_context(probe.verify) if probe.tls else None,
        server_name=_server_name(host),
    )
    return lambda: HttpAttempt(request)


@functools.cache
def _context(verify: bool) -> ssl.SSLContext:
    """One context for all: loading the trusted certificates takes milliseconds."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _authority(address: Address, *, port: int, tls: bool) -> str:
    """The Host header for an address (RFC 9110 7.2: the port, unless it is the scheme's own; IPv6 in brackets)."""
    return endpoint(address, port).removesuffix(":443" if tls else ":80")


def _server_name(host: str) -> str:
    """The name or address in a Host header, which a certificate must have."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_junk(answer: bytes) -> bool:
    """Whether no continuation could make a status line of it."""
    if answer[: len(_PREAMBLE)] != _PREAMBLE[: len(answer)]:
        return True
    return b"\n" in answer or len(answer) > _LONGEST_STATUS_LINE


def _cut_short(answer: bytes) -> str:
    if not answer:
        return "connection closed without an answer"
    return f"connection closed in the middle of the status: {excerpt(answer)}"
