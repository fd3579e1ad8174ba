"""Gratuitous ARP and unsolicited neighbour advertisements as a client hears them.

    python -m shoal.lab.announcements --interface eth0 --output FILE

The result is a list of ``[heard, MAC, address]``; times are CLOCK_MONOTONIC seconds.
"""

import time
from collections.abc import Sequence
from typing import Any

from shoal.lab.claims import Listener
from shoal.lab.watcher import arguments, become_realtime, longest_life, say_ready, wait_readable, write


def heard(listeners: Sequence[Listener]) -> list[list[Any]]:
    """Every announcement that is there now."""
    return [
        [time.monotonic(), claim.mac, str(claim.address)]
        for listener in listeners
        for claim in listener.claims()
        if claim.asker is None
    ]


def main() -> None:
    """Run as a program."""
    options = arguments(__doc__ or "", {"interface": str})
    listeners = [Listener(options.interface, version=version) for version in (4, 6)]
    become_realtime()
    say_ready()
    end, ended = longest_life(time.monotonic()), False
    announcements: list[list[Any]] = []
    while not ended and time.monotonic() < end:
        _, ended = wait_readable([listener.sock for listener in listeners], seconds=1.0)
        announcements += heard(listeners)
    for listener in listeners:
        listener.close()
    write(options.output, announcements)


if __name__ == "__main__":
    main()
