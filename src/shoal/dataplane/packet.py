"""A packet as a dataplane sees it, and what becomes of it. For simulation and tests; no bytes here."""

from dataclasses import dataclass
from enum import IntFlag, StrEnum

from shoal.dataplane.base import Drop
from shoal.model import Address, Encapsulation, Protocol
from shoal.model.sctp_states import SctpChunk, SctpEvent, sctp_event
from shoal.model.tcp_states import TcpEvent, tcp_event

IP_HEADER = {4: 20, 6: 40}
IPV6_FRAGMENT_HEADER = 8
L4_HEADER = {Protocol.TCP: 20, Protocol.UDP: 8, Protocol.SCTP: 16}  # that of SCTP with its first chunk's
ICMP_HEADER = 8
MSS_OPTION = 4


class TcpFlags(IntFlag):
    """Flags of a TCP header, with their values on the wire (RFC 9293 3.1)."""

    NONE = 0
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


class IcmpError(StrEnum):
    """What an ICMP or ICMPv6 message says about the packet that it quotes (RFC 792, RFC 4443)."""

    UNREACHABLE = "unreachable"
    TOO_BIG = "too_big"
    TIME_EXCEEDED = "time_exceeded"
    PARAMETER_PROBLEM = "parameter_problem"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What an ICMP error is about: a packet, of which the last ``cut`` bytes were not quoted."""

    error: IcmpError
    packet: "Packet"
    cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """What a packet travels in through a tunnel; ``port`` is the UDP port of gue, else 0."""

    destination: Address
    encap: Encapsulation
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet of either family. ``protocol`` None is none of those (an ICMP echo, or an ICMP error when there
    is a ``quote``); its ports and flags mean nothing.

    ``ttl`` is the hop limit under IPv6. ``fragment_offset`` is in bytes, a multiple of 8. ``identification`` is the
    same in all fragments of a datagram, and is 0 in what is no fragment. ``outer`` is around the packet; ``length``
    does not count it. ``mss`` is the maximum segment size that a TCP option announces; 0: none does. ``mark`` is what
    a filter of this host wrote on it; it is on no wire. ``chunk`` is the first of an SCTP packet, and all of its
    ``payload`` is in that.
    """

    source: Address
    destination: Address
    protocol: Protocol | None = Protocol.TCP
    source_port: int = 0
    destination_port: int = 0
    flags: TcpFlags = TcpFlags.NONE
    ttl: int = 64
    payload: bytes = b""
    more_fragments: bool = False
    fragment_offset: int = 0
    outer: Outer | None = None
    identification: int = 0
    quote: Quote | None = None
    mss: int = 0
    mark: int = 0
    chunk: SctpChunk = SctpChunk.DATA

    @property
    def length(self) -> int:
        """The packet's length in bytes from the IP header on, as the byte counters count it.

        An IPv6 fragment has a header that says so (RFC 8200 4.5).
        """
        version = self.source.version
        is_fragment = self.more_fragments or self.fragment_offset > 0
        header = IP_HEADER[version] + (IPV6_FRAGMENT_HEADER if version == 6 and is_fragment else 0)
        if self.fragment_offset:
            return header + len(self.payload)
        if self.quote is not None:
            return header + ICMP_HEADER + self.quote.packet.length - self.quote.cut
        header += ICMP_HEADER if self.protocol is None else L4_HEADER[self.protocol]
        return header + (MSS_OPTION if self.mss else 0) + len(self.payload)

    @property
    def event(self) -> TcpEvent | SctpEvent | None:
        """What its TCP flags or its SCTP chunk say to the state machine."""
        if self.protocol is Protocol.SCTP:
            return sctp_event(self.chunk)
        return tcp_event(
            rst=TcpFlags.RST in self.flags,
            syn=TcpFlags.SYN in self.flags,
            fin=TcpFlags.FIN in self.flags,
            ack=TcpFlags.ACK in self.flags,
        )

    @property
    def opens(self) -> bool:
        """Whether it may open a connection: any UDP packet, a SYN without ACK, RST and FIN, or an INIT."""
        if self.fragment_offset:
            return False
        if self.protocol is Protocol.TCP:
            deciding = TcpFlags.SYN | TcpFlags.ACK | TcpFlags.RST | TcpFlags.FIN
            return self.flags & deciding == TcpFlags.SYN
        if self.protocol is Protocol.SCTP:
            return self.chunk is SctpChunk.INIT
        return self.protocol is Protocol.UDP


class Action(StrEnum):
    """What becomes of a packet. ``PASS``: it is not the dataplane's, and goes to the host untouched. ``HOLD``: it
    waits for the first fragment of its datagram.
    """

    PASS = "pass"
    FORWARD = "forward"
    DROP = "drop"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The action; the packet as it leaves, when it is forwarded; the reason, when it is dropped."""

    action: Action
    packet: Packet | None = None
    reason: Drop | None = None


PASS = Verdict(action=Action.PASS)


def forward(packet: Packet) -> Verdict:
    """The verdict that sends a packet on."""
    return Verdict(action=Action.FORWARD, packet=packet)


def drop(reason: Drop) -> Verdict:
    """The verdict that drops a packet."""
    return Verdict(action=Action.DROP, reason=reason)
