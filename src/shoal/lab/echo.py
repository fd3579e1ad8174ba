"""A real server's echo: every datagram and every line comes back, with the server's name in front.

    python -m shoal.lab.echo --name rs1 --address 10.211.0.21 --port 7 --dns-port 53

On the DNS port it tells the name to whoever asks as ``shoal.lab.dns`` does.

Runs under SCHED_FIFO, so that a busy machine does not look like a slow real server.
"""

import argparse
import contextlib
import selectors
import socket
from collections.abc import Callable

from shoal.lab import dns
from shoal.lab.watcher import become_realtime, family_of

PRIORITY = 20
_RECEIVE = 4096
_LONGEST_LINE = 1 << 16


class Echo:
    """Two UDP sockets, one TCP listener and its connections, in one loop."""

    def __init__(self, name: str, *, address: str, port: int, dns_port: int = 0) -> None:
        self._name = name
        self._prefix = name.encode() + b" "
        self._selector = selectors.DefaultSelector()
        self._partial: dict[socket.socket, bytes] = {}
        family = family_of(address)
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((address, port))
        own = (address, self.udp.getsockname()[1])
        self.listener = socket.create_server(own, family=family, backlog=1024)
        self.dns = socket.socket(family, socket.SOCK_DGRAM)
        self.dns.bind((address, dns_port))
        for sock in (self.udp, self.dns, self.listener):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)

    def serve_once(self, timeout: float | None = None) -> None:
        """Wait for something and answer all that is there (seconds; None: for ever)."""
        for key, _ in self._selector.select(timeout):
            sock = key.fileobj
            if sock is self.udp:
                self._answer_datagrams(self.udp, lambda datagram: self._prefix + datagram)
            elif sock is self.dns:
                self._answer_datagrams(self.dns, lambda datagram: dns.answer(datagram, self._name))
            elif sock is self.listener:
                self._accept()
            elif isinstance(sock, socket.socket):
                self._answer_lines(sock)

    def close(self) -> None:
        """Close everything."""
        for sock in (self.udp, self.dns, self.listener, *self._partial):
            sock.close()
        self._selector.close()

    def _answer_datagrams(self, sock: socket.socket, answer: Callable[[bytes], bytes]) -> None:
        """An empty answer is none."""
        while True:
            try:
                datagram, client = sock.recvfrom(_RECEIVE)
            except BlockingIOError:
                return
            except OSError:
                return  # an ICMP error for an earlier answer
            with contextlib.suppress(OSError):
                if answered := answer(datagram):
                    sock.sendto(answered, client)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the client left before it was accepted
            sock, _ = self.listener.accept()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._partial[sock] = b""
            self._selector.register(sock, selectors.EVENT_READ)

    def _answer_lines(self, sock: socket.socket) -> None:
        try:
            received = sock.recv(_RECEIVE)
            *lines, rest = (self._partial[sock] + received).split(b"\n")
            if not received or len(rest) > _LONGEST_LINE:
                self._drop(sock)
                return
            self._partial[sock] = rest
            if lines:
                sock.send(b"".join(self._prefix + line + b"\n" for line in lines))
        except BlockingIOError:
            return
        except OSError:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        del self._partial[sock]
        sock.close()


def main() -> None:
    """Run as a program, until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dns-port", type=int, default=0)
    options = parser.parse_args()
    echo = Echo(options.name, address=options.address, port=options.port, dns_port=options.dns_port)
    become_realtime(PRIORITY)
    while True:
        echo.serve_once()


if __name__ == "__main__":
    main()
