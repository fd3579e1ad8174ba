"""Fragments in the fake dataplane: later ones have the ports of their first, and wait for it if need be."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from shoal.dataplane.packet import Packet
from shoal.model import Address, Protocol

REMEMBERED = 2.0  # seconds after a datagram's last fragment
PATIENCE = 1.0  # seconds that a fragment waits for its first

Datagram = tuple[Address, Address, int, Protocol | None]


def datagram_of(packet: Packet) -> Datagram:
    """What the fragments of a datagram have in common (RFC 791 3.2, RFC 8200 4.5)."""
    return packet.source, packet.destination, packet.identification, packet.protocol


@dataclass(slots=True)
class Fragments:
    """What the first fragments have told, and the later ones that wait."""

    _ports: dict[Datagram, tuple[int, int, float]] = field(default_factory=dict)
    _waiting: dict[Datagram, list[tuple[Packet, float]]] = field(default_factory=dict)

    def tell(self, first: Packet, *, now: float) -> None:
        """A first fragment has come."""
        self._ports[datagram_of(first)] = (first.source_port, first.destination_port, now + REMEMBERED)

    def told(self, later: Packet, *, now: float) -> Packet | None:
        """The packet with the ports of its first fragment; None when that is not known."""
        source_port, destination_port, deadline = self._ports.get(datagram_of(later), (0, 0, 0.0))
        if deadline <= now:
            return None
        self._ports[datagram_of(later)] = (source_port, destination_port, now + REMEMBERED)
        return replace(later, source_port=source_port, destination_port=destination_port)

    def hold(self, later: Packet, *, now: float) -> None:
        """Let a fragment wait for its first."""
        self._waiting.setdefault(datagram_of(later), []).append((later, now + PATIENCE))

    def release(self, first: Packet) -> list[tuple[Packet, float]]:
        """Those that have waited for a first fragment, and until when they would have."""
        return self._waiting.pop(datagram_of(first), [])

    def sweep(self, *, now: float) -> Iterator[Packet]:
        """Forget what has run out; the fragments that have waited in vain."""
        self._ports = {name: ports for name, ports in self._ports.items() if ports[2] > now}
        for name, waiting in list(self._waiting.items()):
            yield from (packet for packet, deadline in waiting if deadline <= now)
            self._waiting[name] = [each for each in waiting if each[1] > now]
