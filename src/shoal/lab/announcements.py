"""Gratuitous ARP as a client hears it.

    python -m shoal.lab.announcements --interface eth0 --output FILE

The result is a list of ``[heard, MAC, address]``; times are CLOCK_MONOTONIC seconds.
"""

import socket
import time
from typing import Any

from shoal.lab import arp
from shoal.lab.watcher import arguments, become_realtime, longest_life, say_ready, wait_readable, write

_RECEIVE = 2048


def listen(interface: str) -> socket.socket:
    """A socket that hears every ARP frame arriving at an interface."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(arp.ETHERTYPE))
    sock.bind((interface, arp.ETHERTYPE))
    sock.setblocking(False)
    return sock


def heard(sock: socket.socket) -> list[list[Any]]:
    """Every announcement that is there now."""
    announcements: list[list[Any]] = []
    while True:
        try:
            frame = arp.decode(sock.recv(_RECEIVE))
        except BlockingIOError:
            return announcements
        if frame is not None and frame.gratuitous:
            announcements.append([time.monotonic(), frame.sender_mac, str(frame.sender)])


def main() -> None:
    """Run as a program."""
    options = arguments(__doc__ or "", {"interface": str})
    sock = listen(options.interface)
    become_realtime()
    say_ready()
    end, ended = longest_life(time.monotonic()), False
    announcements: list[list[Any]] = []
    while not ended and time.monotonic() < end:
        _, ended = wait_readable([sock], seconds=1.0)
        announcements += heard(sock)
    sock.close()
    write(options.output, announcements)


if __name__ == "__main__":
    main()
