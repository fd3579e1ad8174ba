"""Long-lived TCP connections through the VIP: which of them break, and how long they ever waited.

    python -m shoal.lab.connections --address VIP --port 7 --count 20 --interval 0.05 --output FILE

Each connection sends a line and expects it back, every ``interval`` seconds. It is broken when it is reset,
closed, or silent for three seconds. The result is a list of ``{"broken": reason or "", "lines": count,
"longest_wait": seconds, "broken_at": time or null}``; times are CLOCK_MONOTONIC seconds.
"""

import socket
import sys
import time
from ipaddress import ip_address

from shoal.lab.watcher import arguments, become_realtime, longest_life, say_ready, wait_readable, write
from shoal.model import endpoint

SILENCE_LIMIT = 3.0
_OPEN_LIMIT = 2.0
_TICK = 0.005
_RECEIVE = 4096


class LineConnection:
    """One connection and its ping-pong of lines."""

    def __init__(self, sock: socket.socket, *, first: float) -> None:
        self.sock = sock
        self.broken = ""
        self.broken_at: float | None = None
        self.lines = 0
        self.longest_wait = 0.0
        self.asked: float | None = None
        self._next = first
        self._partial = b""

    def tick(self, now: float, *, interval: float, asking: bool) -> None:
        """Ask when it is time; give up on an answer that is overdue."""
        if self.broken:
            return
        if self.asked is not None:
            if now - self.asked > SILENCE_LIMIT:
                self._break(f"no answer for {SILENCE_LIMIT:g} s", now)
        elif asking and now >= self._next:
            self._next = now + interval
            self.asked = now
            try:
                self.sock.send(b"%d\n" % self.lines)
            except OSError as error:
                self._break(error.strerror or "send failed", now)

    def receive(self, now: float) -> None:
        """Take what has arrived."""
        try:
            received = self.sock.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error.strerror or "receive failed", now)
            return
        if not received:
            self._break("closed by the other end", now)
            return
        self._partial += received
        if self._partial.endswith(b"\n") and self.asked is not None:
            self._partial = b""
            self.lines += 1
            self.longest_wait = max(self.longest_wait, now - self.asked)
            self.asked = None

    def result(self) -> dict[str, object]:
        """What the report says about it."""
        return {
            "broken": self.broken,
            "broken_at": self.broken_at,
            "longest_wait": self.longest_wait,
            "lines": self.lines,
        }

    def _break(self, reason: str, now: float) -> None:
        self.broken, self.broken_at, self.asked = reason, now, None
        self.sock.close()


def open_all(address: str, *, port: int, count: int, interval: float) -> list[LineConnection]:
    """Open the connections, their lines spread evenly over the interval. Raises OSError."""
    start = time.monotonic()
    connections = []
    for index in range(count):
        sock = socket.create_connection((address, port), timeout=_OPEN_LIMIT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connections.append(LineConnection(sock, first=start + index * interval / count))
    return connections


def run(connections: list[LineConnection], *, interval: float) -> None:
    """Exchange lines until the starter closes standard input, then wait for each open question's fate."""
    end = longest_life(time.monotonic())
    asking = True
    while asking or any(connection.asked is not None for connection in connections):
        by_socket = {connection.sock: connection for connection in connections if not connection.broken}
        if asking:
            readable, ended = wait_readable(list(by_socket), seconds=_TICK)
        else:
            time.sleep(_TICK)
            readable, ended = list(by_socket), True
        now = time.monotonic()
        for sock in readable:
            by_socket[sock].receive(now)
        asking = asking and not ended and now < end
        for connection in connections:
            connection.tick(now, interval=interval, asking=asking)


def main() -> None:
    """Run as a program."""
    options = arguments(__doc__ or "", {"address": str, "port": int, "count": int, "interval": float})
    try:
        connections = open_all(
            options.address, port=options.port, count=options.count, interval=options.interval
        )
    except OSError as error:
        sys.exit(f"cannot connect to {endpoint(ip_address(options.address), options.port)}: {error}")
    become_realtime()
    say_ready()
    run(connections, interval=options.interval)
    for connection in connections:
        connection.sock.close()
    write(options.output, [connection.result() for connection in connections])


if __name__ == "__main__":
    main()
