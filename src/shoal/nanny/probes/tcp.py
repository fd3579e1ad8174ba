"""TCP connect: passes when the connection is accepted. Base of every probe that talks over TCP."""

import select
import socket
import struct
from collections.abc import Callable
from errno import EINPROGRESS

from shoal.nanny.machine import Outcome
from shoal.nanny.probes.base import Attempt, passed, refused
from shoal.nanny.questions import Question

# Closing sends a reset: thousands of probes a second would otherwise leave as many connections in TIME_WAIT.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_CONNECTED = passed("connected")


def family_of(address: str) -> socket.AddressFamily:
    """The sockets' family for an address without brackets."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class TcpAttempt(Attempt):
    """A connection being made; ``connected`` says what follows, here nothing."""

    __slots__ = ("_address", "_socket", "_waits_for_connection")

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket
        self._waits_for_connection = True
        self.wants = select.EPOLLOUT

    def open(self) -> Outcome | None:
        """Begin the connection."""
        try:
            self._socket = socket.socket(
                family_of(self._address[0]), socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
        except OSError as error:
            return refused(error.errno)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        code = self._socket.connect_ex(self._address)
        if code in (0, EINPROGRESS):
            return None
        self._socket.close()
        return refused(code)

    def fileno(self) -> int:
        """The socket."""
        return self._socket.fileno()

    def ready(self) -> Outcome | None:
        """The connection is there or refused; afterwards, the conversation goes on."""
        if not self._waits_for_connection:
            return self.proceed()
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            return refused(code)
        self._waits_for_connection = False
        return self.connected()

    def connected(self) -> Outcome | None:
        """The connection was accepted."""
        return _CONNECTED

    def proceed(self) -> Outcome | None:
        """The connected socket is ready again."""
        return None

    def stalled(self) -> str:
        """What the real server owes."""
        return "no connection" if self._waits_for_connection else "connected, but no answer"

    def close(self) -> None:
        """Reset the connection."""
        self._socket.close()


def prepare(question: Question) -> Callable[[], Attempt]:
    """What makes the attempts for a question."""
    address = str(question.address), question.port
    return lambda: TcpAttempt(address)
