"""The client's probe: a UDP datagram through the VIP every few milliseconds, each answered or lost.

    python -m shoal.lab.probe --address VIP --port 7 --interval 0.002 --output FILE

Sixteen sockets take turns, so that the probe is sixteen flows. The result is a list of
``[sent, answered or null, source index, real server]``; times are CLOCK_MONOTONIC seconds.
"""

import socket
import struct
import time
from typing import Any

from shoal.lab.watcher import (
    arguments,
    become_realtime,
    family_of,
    longest_life,
    say_ready,
    wait_readable,
    write,
)

SOURCES = 16
ANSWER_LIMIT = 1.0  # seconds; what is not answered by then is lost
_PAYLOAD = struct.Struct("!I")
_RECEIVE = 2048


class Prober:
    """Sends and matches. ``samples`` is what the result holds, in the order of sending."""

    def __init__(self, address: str, port: int) -> None:
        self.samples: list[list[Any]] = []
        self.sockets = [_connected(address, port) for _ in range(SOURCES)]
        self._unanswered = 0

    def send(self) -> None:
        """Send the next datagram. One that the kernel refuses to send counts as lost."""
        sequence = len(self.samples)
        source = sequence % SOURCES
        self.samples.append([time.monotonic(), None, source, ""])
        self._unanswered += 1
        try:
            self.sockets[source].send(_PAYLOAD.pack(sequence))
        except OSError:
            return  # no buffer, no neighbour, or an ICMP error of an earlier datagram

    def receive(self, sock: socket.socket) -> None:
        """Take every answer that is there."""
        while True:
            try:
                answer = sock.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error (port unreachable): that datagram stays unanswered
            (sequence,) = _PAYLOAD.unpack(answer[-_PAYLOAD.size :])
            sample = self.samples[sequence]
            if sample[1] is None:
                sample[1] = time.monotonic()
                sample[3] = answer[: -_PAYLOAD.size].decode().strip()
                self._unanswered -= 1

    def settled(self, now: float) -> bool:
        """Whether no answer can come any more that would count."""
        return self._unanswered == 0 or now > self.samples[-1][0] + ANSWER_LIMIT

    def close(self) -> None:
        """Close the sockets."""
        for sock in self.sockets:
            sock.close()


def _connected(address: str, port: int) -> socket.socket:
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect((address, port))
    return sock


def run(prober: Prober, interval: float) -> None:
    """Probe until the starter closes standard input, then wait for the last answers.

    A slot that was missed because the machine was busy is skipped, never made up for by a burst.
    """
    due = time.monotonic()
    end = longest_life(due)
    ended = False
    while not ended and due < end:
        now = time.monotonic()
        if now >= due:
            prober.send()
            due = max(due + interval, now + interval / 2)
        readable, ended = wait_readable(prober.sockets, seconds=due - time.monotonic())
        for sock in readable:
            prober.receive(sock)
    while not prober.settled(time.monotonic()):
        time.sleep(0.01)
        for sock in prober.sockets:
            prober.receive(sock)


def main() -> None:
    """Run as a program."""
    options = arguments(__doc__ or "", {"address": str, "port": int, "interval": float})
    prober = Prober(options.address, options.port)
    become_realtime()
    say_ready()
    run(prober, options.interval)
    prober.close()
    write(options.output, prober.samples)


if __name__ == "__main__":
    main()
