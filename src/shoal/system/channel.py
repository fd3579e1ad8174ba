"""Typed messages over a Unix SEQPACKET socket, without blocking: usable from a plain epoll loop and from asyncio."""

import contextlib
import socket
from collections import deque
from pathlib import Path

import msgspec

from shoal.errors import PeerError
from shoal.ipc.messages import Message

LARGEST_DATAGRAM = 1 << 22  # the health of 10,000 real servers takes 1 MB
BACKLOG_LIMIT = 1000

_SO_SNDBUFFORCE = 32  # include/uapi/asm-generic/socket.h


class Channel:
    """One end of a connection. ``fileno`` is for a poller; nothing here blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        _allow_large_datagrams(sock)
        self._socket = sock
        self._backlog: deque[bytes] = deque(maxlen=BACKLOG_LIMIT)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Message)

    @classmethod
    def connect(cls, path: Path) -> "Channel | None":
        """Connect to a listener; None while nobody listens there."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        sock.setblocking(False)  # a listener that hangs, its queue full, must not stop who connects
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            return None
        return cls(sock)

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    @property
    def pending(self) -> int:
        """Messages that wait for the other end; send no further reports until it is 0."""
        return len(self._backlog)

    def send(self, message: Message) -> bool:
        """Send, or keep for ``flush`` when the other end is slow. False: the other end is gone."""
        self._backlog.append(self._encoder.encode(message))
        return self.flush()

    def flush(self) -> bool:
        """Send what was kept. False: the other end is gone."""
        while self._backlog:
            try:
                self._socket.send(self._backlog[0])
            except BlockingIOError:
                return True
            except OSError:
                return False
            self._backlog.popleft()
        return True

    def receive(self) -> list[Message] | None:
        """Every message that is here now; None when the other end is gone. Raises PeerError on garbage."""
        messages: list[Message] = []
        while True:
            try:
                datagram = self._socket.recv(LARGEST_DATAGRAM)
            except BlockingIOError:
                return messages
            except OSError:
                return None
            if not datagram:
                return messages or None
            try:
                messages.append(self._decoder.decode(datagram))
            except msgspec.DecodeError as error:
                raise PeerError(problem=f"undecodable message: {error}", where="ipc") from error

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def _allow_large_datagrams(sock: socket.socket) -> None:
    """A datagram must fit the send buffer, which only root may make larger than net.core.wmem_max."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, LARGEST_DATAGRAM)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_DATAGRAM)


def listen(path: Path) -> socket.socket:
    """A listening SEQPACKET socket at ``path``, for root only; a dead predecessor's socket file is replaced."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    sock.bind(str(path))
    path.chmod(0o600)
    sock.listen(16)
    sock.setblocking(False)
    return sock
