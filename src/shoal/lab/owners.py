"""Who owns the VIP, as the network sees it: asks by ARP or neighbour solicitation every few
milliseconds, notes who answers.

    python -m shoal.lab.owners --interface br-public --address VIP --first-sender IP --interval 0.005 \\
        --output FILE

It runs beside the switch, not in the client: an answer would refresh the client's own neighbour entry, and
hide a take-over that announced itself badly. Questions come from eight addresses in turn, so that an answer
tells which question it belongs to. The result is a list of ``[asked, [MAC, ...]]``; times are CLOCK_MONOTONIC
seconds.
"""

import contextlib
import time
from ipaddress import ip_address
from typing import Any

from shoal.lab.claims import Claim, Listener, question
from shoal.lab.watcher import arguments, become_realtime, longest_life, say_ready, wait_readable, write
from shoal.model import Address

SENDERS = 8
_LINGER = 0.05  # seconds for the last answers


class Asker:
    """Asks and attributes answers. ``questions`` is what the result holds."""

    def __init__(self, interface: str, *, address: Address, first_sender: Address) -> None:
        self.listener = Listener(interface, version=address.version)
        self.questions: list[list[Any]] = []
        self._address = address
        self._first_sender = first_sender

    def ask(self) -> None:
        """Ask the next question."""
        sender = self._first_sender + len(self.questions) % SENDERS
        self.questions.append([time.monotonic(), []])
        with contextlib.suppress(BlockingIOError):
            self.listener.sock.send(question(mac=self.listener.mac, sender=sender, target=self._address))

    def receive(self) -> None:
        """Note every answer that is there."""
        for claim in self.listener.claims():
            if claim.asker is not None and claim.address == self._address:
                self._note(claim, asker=claim.asker)

    def _note(self, claim: Claim, *, asker: Address) -> None:
        """Put an answer down to the latest question that came from the address it is for."""
        turn = int(asker) - int(self._first_sender)
        if not 0 <= turn < SENDERS:
            return
        latest = len(self.questions) - 1
        index = latest - (latest - turn) % SENDERS
        if index >= 0 and claim.mac not in self.questions[index][1]:
            self.questions[index][1].append(claim.mac)


def run(asker: Asker, *, interval: float) -> None:
    """Ask until the starter closes standard input."""
    due = time.monotonic()
    end, ended = longest_life(due), False
    while not ended and due < end:
        now = time.monotonic()
        if now >= due:
            asker.ask()
            due = max(due + interval, now + interval / 2)
        _, ended = wait_readable([asker.listener.sock], seconds=due - time.monotonic())
        asker.receive()
    time.sleep(_LINGER)
    asker.receive()


def main() -> None:
    """Run as a program."""
    options = arguments(
        __doc__ or "",
        {"interface": str, "address": ip_address, "first-sender": ip_address, "interval": float},
    )
    asker = Asker(options.interface, address=options.address, first_sender=options.first_sender)
    become_realtime()
    say_ready()
    run(asker, interval=options.interval)
    asker.listener.close()
    write(options.output, asker.questions)


if __name__ == "__main__":
    main()
