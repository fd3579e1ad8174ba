"""What a row of the packet table is: what has happened before, a frame, and what must become of it."""

from dataclasses import dataclass, replace

from shoal.dataplane.base import Drop, Service
from shoal.dataplane.packet import Packet
from shoal.model import Address
from support.packets import INTACT, Damage, encode_packet

ROUTER_MAC = bytes.fromhex("020000000f01")  # the way out's own, whatever it is on the bench
NEIGHBOUR_MAC = bytes.fromhex("020000000ffe")


@dataclass(frozen=True, slots=True)
class Arrives:
    """A frame came before, and was treated as whatever becomes of it."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Elapses:
    """Seconds have passed for the connections."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LeaseEnds:
    """The router holds these floating addresses no more."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class HandOverBegins:
    """The router has just taken over."""


@dataclass(frozen=True, slots=True)
class OwnMac:
    """The router knows its interface's MAC, and so which frames are for others."""


Step = Service | Arrives | Elapses | LeaseEnds | HandOverBegins | OwnMac


@dataclass(frozen=True, slots=True)
class Passed:
    """It goes to the host's own stack, byte by byte as it came."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """It ends here, and this counter grows by one."""

    reason: Drop


@dataclass(frozen=True, slots=True)
class Sent:
    """It leaves as this frame."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """It ends here, this counter grows by one, and this frame goes back the way it came."""

    reason: Drop
    frame: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """It waits in the kernel for the first fragment of its datagram."""


Outcome = Passed | Dropped | Sent | Answered | Held
PASSED = Passed()
HELD = Held()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row.

    ``state`` is that of the only connection afterwards; empty: there is none. Where it is None, a frame that is not
    sent on must leave all connections as they were. ``on_xdp`` is for what XDP leaves to TC.
    """

    name: str
    before: tuple[Step, ...]
    frame: bytes
    then: Outcome
    state: str | None = None
    on_xdp: Outcome | None = None

    def outcome(self, program: str) -> Outcome:
        """What must become of the frame in a program."""
        return self.on_xdp if self.on_xdp and program == "shoal_xdp" else self.then


def sent(packet: Packet, damage: Damage = INTACT) -> Sent:
    """Sent on to the bench's only neighbour, with every checksum worked out from nothing."""
    return Sent(encode_packet(packet, damage=damage, source_mac=ROUTER_MAC, destination_mac=NEIGHBOUR_MAC))


def sent_as(frame: bytes) -> Sent:
    """The same for a frame that is ready from the IP header on."""
    return Sent(NEIGHBOUR_MAC + ROUTER_MAC + frame[12:])


def arrives(*packets: Packet) -> tuple[Arrives, ...]:
    """Packets that came before."""
    return tuple(Arrives(encode_packet(each)) for each in packets)


def older(packet: Packet, by: int = 1) -> Packet:
    """One hop further on."""
    return replace(packet, ttl=packet.ttl - by)


def patched(frame: bytes, offset: int, content: bytes) -> bytes:
    """The frame with other bytes at a place."""
    return frame[:offset] + content + frame[offset + len(content) :]
