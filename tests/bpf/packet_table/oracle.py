"""Which fuzzed frames are the balancer's at all, and whether what leaves is what came.

Nothing here predicts a verdict. It says when a verdict other than "to the host" cannot be right, and what of a frame
may differ when it leaves.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from packet_table.address_filter import filter_bit, folded
from packet_table.row import LeaseEnds, OwnMac, Step
from shoal.dataplane.base import Service
from shoal.model import Address, Connection
from support.packets import DESTINATION_MAC, SKIPPED_HEADERS, checksum

ETHERNET, ARP, IPV4, IPV6 = 14, 0x0806, 0x0800, 0x86DD
TCP, UDP, ICMPV6, FRAGMENT = 6, 17, 58, 44
ICMP = {4: 1, 6: ICMPV6}
ICMP_HEADER = 8
NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": 132}
SOLICITATION, SOLICITATION_SIZE = 135, 24
CHECKSUMS = {TCP: 16, UDP: 6}
Endpoint = tuple[Address, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """An IP packet in a frame. ``ports`` is None for what has none; offsets count from the frame's begin."""

    version: int
    source: Address
    destination: Address
    protocol: int
    transport: int
    end: int
    ports: tuple[int, int] | None
    is_later: bool

    @property
    def ttl(self) -> int:
        """Where TTL or hop limit stands."""
        return ETHERNET + (8 if self.version == 4 else 7)

    @property
    def seen_from_afar(self) -> "Reading":
        """The other direction's packet."""
        ports = (self.ports[1], self.ports[0]) if self.ports else None
        return replace(self, source=self.destination, destination=self.source, ports=ports)

    @property
    def from_end(self) -> Endpoint | None:
        """Source address and port."""
        return (self.source, self.ports[0]) if self.ports else None

    @property
    def to_end(self) -> Endpoint | None:
        """Destination address and port."""
        return (self.destination, self.ports[1]) if self.ports else None


def read(frame: bytes) -> Reading | None:
    """The packet in a frame, if it is one whose lengths agree."""
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == IPV4:
        return _read_ipv4(frame)
    return _read_ipv6(frame) if ethertype == IPV6 else None


def _read_ipv4(frame: bytes) -> Reading | None:
    if len(frame) < ETHERNET + 20 or frame[14] >> 4 != 4:
        return None
    header, length = 4 * (frame[14] & 15), int.from_bytes(frame[16:18], "big")
    if not 20 <= header <= length <= len(frame) - ETHERNET:
        return None
    ends = IPv4Address(frame[26:30]), IPv4Address(frame[30:34])
    later = int.from_bytes(frame[20:22], "big") & 0x1FFF
    return _reading(frame, 4, ends, frame[23], ETHERNET + header, ETHERNET + length, later)


def _read_ipv6(frame: bytes) -> Reading | None:
    if len(frame) < ETHERNET + 40 or frame[14] >> 4 != 6:
        return None
    end = ETHERNET + 40 + int.from_bytes(frame[18:20], "big")
    if end > len(frame):
        return None
    ends = IPv6Address(frame[22:38]), IPv6Address(frame[38:54])
    protocol, place, later = frame[20], ETHERNET + 40, 0
    while protocol in (*SKIPPED_HEADERS, FRAGMENT) and place + 8 <= end and not later:
        if protocol == FRAGMENT:
            later = int.from_bytes(frame[place + 2 : place + 4], "big") >> 3
        size = 8 if protocol == FRAGMENT else 8 * (frame[place + 1] + 1)
        protocol, place = frame[place], place + size
    return _reading(frame, 6, ends, protocol, place, end, later)


def _reading(
    frame: bytes,
    version: int,
    ends: tuple[Address, Address],
    protocol: int,
    transport: int,
    end: int,
    later: int,
) -> Reading:
    ports = None
    if not later and protocol in (TCP, UDP, 132) and transport + 8 <= end:
        ports = struct.unpack_from("!HH", frame, transport)
    return Reading(version, *ends, protocol, transport, end, ports, later > 0)


def read_quote(frame: bytes, error: Reading) -> Reading | None:
    """The packet that an ICMP error quotes, which may be cut behind eight bytes of its transport header."""
    begin = error.transport + ICMP_HEADER
    if error.protocol != ICMP[error.version] or error.is_later or begin > error.end:
        return None
    quote = bytearray(bytes(12) + frame[12:ETHERNET] + frame[begin : error.end])
    length = len(quote) - ETHERNET
    if error.version == 4:
        quote[16:18] = length.to_bytes(2, "big")
        return _read_ipv4(bytes(quote))
    quote[18:20] = max(0, length - 40).to_bytes(2, "big")
    return _read_ipv6(bytes(quote))


def whole_until(frame: bytes) -> int:
    """How many bytes of a frame its packet needs: what is shorter has lost some of it. 0: it says nothing sensible.

    Of the questions for an address only what is asked for is needed.
    """
    if frame[12:14] == b"\x08\x06":
        return 42
    if frame[12:14] == b"\x86\xdd" and frame[20] == ICMPV6 and frame[54] == SOLICITATION:
        return 78
    reading = read(frame)
    return reading.end if reading else 0


@dataclass(frozen=True, slots=True)
class Router:
    """What a router has been told, and the connections it has."""

    listeners: frozenset[tuple[int, Endpoint]]
    real_servers: frozenset[Endpoint]
    released: frozenset[Address]
    knows_its_mac: bool

    @classmethod
    def after(cls, before: Iterable[Step]) -> "Router":
        """As it is after these steps. A listener that was replaced counts: its connections live on."""
        steps = tuple(before)
        services = [step for step in steps if isinstance(step, Service)]
        return cls(
            frozenset(
                (NUMBERS[each.protocol.value], (each.address, each.port))
                for service in services
                for each in service.listeners
            ),
            frozenset(each.endpoint for service in services for each in service.destinations),
            frozenset(each for step in steps if isinstance(step, LeaseEnds) for each in step.addresses),
            OwnMac() in steps,
        )

    def may_be_ours(self, frame: bytes, connections: Iterable[Connection]) -> bool:
        """Whether anything but the host may decide about a frame."""
        mac = frame[:6]
        if self.knows_its_mac and mac != DESTINATION_MAC and not mac[0] & 1:
            return False
        if int.from_bytes(frame[12:14], "big") == ARP:
            return len(frame) >= 42 and IPv4Address(frame[38:42]) in self.released
        reading = read(frame)
        if reading is None:
            return self._is_solicitation(frame)
        if (reading.protocol, reading.to_end) in self.listeners or self._is_solicitation(frame):
            return True
        if reading.is_later:
            return self.may_wait(reading)
        quote = read_quote(frame, reading)
        if quote is not None:
            return any(_belongs(quote.seen_from_afar, connection) for connection in connections)
        return any(_belongs(reading, connection) for connection in connections)

    def may_wait(self, fragment: Reading) -> bool:
        """Whether a fragment may be ours once its first has come, as far as the filter of addresses can tell."""
        virtual = {address for _, (address, _) in self.listeners}
        real = {address for address, _ in self.real_servers}
        return (
            fragment.is_later
            and fragment.protocol in (*NUMBERS.values(), *SKIPPED_HEADERS, FRAGMENT)
            and (
                any(alike(fragment.destination, each) for each in virtual)
                or any(alike(fragment.source, each) for each in real)
            )
        )

    def _is_solicitation(self, frame: bytes) -> bool:
        """Of an address that was let go (lengths do not matter for that, but of the headers in front)."""
        reading = read(frame)
        if (
            len(frame) >= 78
            and frame[12:14] == b"\x86\xdd"
            and (frame[20], frame[54]) == (ICMPV6, SOLICITATION)
        ):
            return IPv6Address(frame[62:78]) in self.released
        if (
            reading is None
            or reading.protocol != ICMPV6
            or len(frame) < reading.transport + SOLICITATION_SIZE
        ):
            return False
        target = frame[reading.transport + 8 : reading.transport + SOLICITATION_SIZE]
        return frame[reading.transport] == SOLICITATION and IPv6Address(target) in self.released


def alike(one: Address, other: Address) -> bool:
    """Whether two addresses share the filter's bit."""
    return one.version == other.version and filter_bit(folded(one)) == filter_bit(folded(other))


def _belongs(reading: Reading, connection: Connection) -> bool:
    """Whether a packet is one of a connection's, in either direction."""
    if reading.protocol != NUMBERS[connection.protocol.value]:
        return False
    ends = (reading.from_end, reading.to_end)
    if None in ends:
        return False
    return ends in ((connection.client, connection.virtual), (connection.real, connection.client))


def residuals(frame: bytes, reading: Reading) -> tuple[int, int | None]:
    """By how much the checksums of the IPv4 header and of TCP or UDP are wrong; None: it has none."""
    header = checksum(frame[ETHERNET : reading.transport]) % 0xFFFF if reading.version == 4 else 0
    place = reading.transport + CHECKSUMS.get(reading.protocol, 0)
    if (
        reading.protocol == ICMP[reading.version]
        and not reading.is_later
        and place + ICMP_HEADER <= reading.end
    ):
        return header, _sum_behind(frame, reading, with_addresses=reading.version == 6)
    if reading.ports is None or reading.protocol not in CHECKSUMS or place + 2 > reading.end:
        return header, None
    if reading.protocol == UDP and frame[place : place + 2] == bytes(2):
        return header, None
    return header, _sum_behind(frame, reading, with_addresses=True)


def _sum_behind(frame: bytes, reading: Reading, *, with_addresses: bool) -> int:
    """The sum of what is behind the IP header, and of the pseudo header."""
    covered = frame[reading.transport : reading.end]
    pseudo = reading.source.packed + reading.destination.packed
    pseudo += struct.pack("!II", len(covered), reading.protocol)
    return checksum((pseudo if with_addresses else b"") + covered) % 0xFFFF


def unlike(before: bytes, after: bytes, router: Router) -> str:
    """What is wrong with a frame that was sent on without a tunnel; empty when nothing is."""
    came, left = read(before), read(after)
    if came is None or left is None:
        return "a packet that cannot be read"
    if residuals(before, came) != residuals(after, left):
        return (
            f"checksums wrong by {residuals(after, left)}, and they came wrong by {residuals(before, came)}"
        )
    if blanked(before, came) != blanked(after, left):
        return "other bytes were changed"
    if read_quote(before, came) is not None or came.is_later:
        return ""  # whose names they bear now is for the rows to tell
    ends = (came.from_end, came.to_end), (left.from_end, left.to_end)
    (client, virtual), (source, destination) = ends
    if ends[0] == ends[1] or (client == source and destination in router.real_servers):
        return ""
    if virtual == destination and (came.protocol, source) in router.listeners:
        return ""
    return f"{ends[0]} became {ends[1]}"


def blanked(frame: bytes, reading: Reading) -> bytes:
    """The frame with zeros for all that forwarding may change; TTL as it was before."""
    content = bytearray(frame)
    content[:12] = bytes(12)
    content[reading.ttl] = 0
    _blank_ip(content, ETHERNET, reading)
    quote = read_quote(frame, reading)
    if quote is not None:
        content[reading.transport + 2 : reading.transport + 4] = bytes(2)
        moved = reading.transport + ICMP_HEADER - ETHERNET
        behind = replace(quote, transport=quote.transport + moved, end=quote.end + moved)
        _blank_ip(content, reading.transport + ICMP_HEADER, behind)
    return bytes(content)


def _blank_ip(content: bytearray, begin: int, reading: Reading) -> None:
    """Addresses, ports and checksums of the IP packet that begins there."""
    if reading.version == 4:
        content[begin + 10 : begin + 20] = bytes(10)
    else:
        content[begin + 8 : begin + 40] = bytes(32)
    if reading.ports is not None:
        content[reading.transport : reading.transport + 4] = bytes(4)
        place = reading.transport + CHECKSUMS.get(reading.protocol, 0)
        if reading.protocol in CHECKSUMS and place + 2 <= reading.end:
            content[place : place + 2] = bytes(2)
