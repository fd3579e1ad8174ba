"""The UDP sockets that heartbeats travel through: one per path, bound to its interface and fixed address."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

_IP_FREEBIND = 15  # include/uapi/linux/in.h: the fixed address may come after us
_CLASS_SELECTOR_6 = 6 << 5  # network control (RFC 2474)
_LARGEST = 2048
_PER_PASS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a path's socket is bound. ``index`` is that of the interface: a new one needs a new socket."""

    path: str
    interface: str
    index: int
    address: IPv4Address
    port: int


class HeartbeatPorts:
    """The sockets by path."""

    def __init__(self) -> None:
        self._sockets: dict[str, tuple[Endpoint, socket.socket]] = {}

    def open(self, endpoints: tuple[Endpoint, ...]) -> tuple[str, ...]:
        """Have exactly these sockets; those that fit stay. Returns what could not be opened, in words."""
        wanted = {endpoint.path: endpoint for endpoint in endpoints}
        for path, (endpoint, sock) in list(self._sockets.items()):
            if wanted.get(path) != endpoint:
                sock.close()
                del self._sockets[path]
        problems = []
        for path, endpoint in wanted.items():
            if path in self._sockets:
                continue
            try:
                self._sockets[path] = endpoint, _open(endpoint)
            except OSError as error:
                problems.append(
                    f"path {path}: cannot open {endpoint.address}:{endpoint.port}/udp on "
                    f"{endpoint.interface}: {error.strerror}"
                )
        return tuple(problems)

    def sockets(self) -> Iterator[tuple[str, socket.socket]]:
        """Path and socket, for a poller."""
        for path, (_, sock) in self._sockets.items():
            yield path, sock

    def send(self, path: str, address: IPv4Address, datagram: bytes) -> None:
        """Send, or lose it: a heartbeat that cannot leave now is worth nothing later."""
        entry = self._sockets.get(path)
        if entry is None:
            return
        endpoint, sock = entry
        with contextlib.suppress(OSError):
            sock.sendto(datagram, (str(address), endpoint.port))

    def receive(self, path: str) -> tuple[list[tuple[bytes, str]], bool]:
        """Datagrams and their senders' addresses; and whether the socket is empty now."""
        entry = self._sockets.get(path)
        datagrams: list[tuple[bytes, str]] = []
        if entry is None:
            return datagrams, True
        for _ in range(_PER_PASS):
            try:
                datagram, (address, _) = entry[1].recvfrom(_LARGEST)
            except OSError:  # nothing more, or an error of the network that the next heartbeat shows anyway
                return datagrams, True
            datagrams.append((datagram, address))
        return datagrams, False

    def close(self) -> None:
        """Close all."""
        self.open(())


def _open(endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, endpoint.interface.encode())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 6)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _CLASS_SELECTOR_6)
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind((str(endpoint.address), endpoint.port))
    except OSError:
        sock.close()
        raise
    return sock
