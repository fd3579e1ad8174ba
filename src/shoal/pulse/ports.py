"""The UDP sockets that heartbeats travel through: one per path, bound to its interface and fixed address."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from shoal.model import Address
from shoal.model import endpoint as spelled

_IP_FREEBIND = 15  # include/uapi/linux/in.h: the fixed address may come after us
_IPV6_FREEBIND = 78  # include/uapi/linux/in6.h
_CLASS_SELECTOR_6 = 6 << 5  # network control (RFC 2474)
_LARGEST = 2048
_PER_PASS = 512
_OPTIONS = {
    socket.AF_INET: (
        (socket.IPPROTO_IP, socket.IP_TOS, _CLASS_SELECTOR_6),
        (socket.IPPROTO_IP, _IP_FREEBIND, 1),
    ),
    socket.AF_INET6: (
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _CLASS_SELECTOR_6),
        (socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a path's socket is bound. ``index`` is that of the interface: a new one needs a new socket."""

    path: str
    interface: str
    index: int
    address: Address
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
                    f"path {path}: cannot open {spelled(endpoint.address, endpoint.port)}/udp on "
                    f"{endpoint.interface}: {error.strerror}"
                )
        return tuple(problems)

    def sockets(self) -> Iterator[tuple[str, socket.socket]]:
        """Path and socket, for a poller."""
        for path, (_, sock) in self._sockets.items():
            yield path, sock

    def send(self, path: str, address: Address, datagram: bytes) -> None:
        """Send, or lose it: a heartbeat that cannot leave now is worth nothing later."""
        entry = self._sockets.get(path)
        if entry is None:
            return
        endpoint, sock = entry
        with contextlib.suppress(OSError):
            sock.sendto(datagram, _socket_address(endpoint, address))

    def receive(self, path: str) -> tuple[list[tuple[bytes, Address]], bool]:
        """Datagrams and their senders' addresses; and whether the socket is empty now."""
        entry = self._sockets.get(path)
        datagrams: list[tuple[bytes, Address]] = []
        if entry is None:
            return datagrams, True
        for _ in range(_PER_PASS):
            try:
                datagram, sender = entry[1].recvfrom(_LARGEST)
            except OSError:  # nothing more, or an error of the network that the next heartbeat shows anyway
                return datagrams, True
            datagrams.append((datagram, ip_address(sender[0].partition("%")[0])))
        return datagrams, False

    def close(self) -> None:
        """Close all."""
        self.open(())


def _socket_address(endpoint: Endpoint, address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """What the socket calls want. A link-local address means nothing without its interface."""
    if address.version == 6:
        return str(address), endpoint.port, 0, endpoint.index
    return str(address), endpoint.port


def _open(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, endpoint.interface.encode())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 6)
        for level, option, value in _OPTIONS[family]:
            sock.setsockopt(level, option, value)
        sock.bind(_socket_address(endpoint, endpoint.address))
    except OSError:
        sock.close()
        raise
    return sock
