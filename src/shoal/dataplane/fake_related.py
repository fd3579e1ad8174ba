"""ICMP errors in the fake dataplane: which connection one is about, and what it looks like when it is sent on."""

from collections.abc import Callable
from dataclasses import replace

from shoal.dataplane.fake_entries import Entry
from shoal.dataplane.packet import IcmpError, Packet


def find_related(packet: Packet, find: Callable[..., Entry | None]) -> tuple[Entry, bool] | None:
    """The connection that an error is about, and whether the error goes to the real server; None: the host's.

    ``find`` takes a client, and the ``virtual`` or the ``real`` endpoint. An error is addressed to the sender of the
    packet that it quotes; redirects are for the host alone.
    """
    assert packet.quote is not None
    quoted = packet.quote.packet
    if quoted.protocol is None or quoted.fragment_offset or quoted.source != packet.destination:
        return None
    if packet.quote.error is IcmpError.REDIRECT:
        return None
    sender = (quoted.source, quoted.source_port)
    receiver = (quoted.destination, quoted.destination_port)
    if (entry := find((quoted.protocol, *receiver), virtual=sender)) is not None:
        return entry, True
    if (entry := find((quoted.protocol, *sender), real=receiver)) is not None:
        return entry, False
    return None


def rewritten(packet: Packet, entry: Entry, *, to_server: bool) -> Packet:
    """The error as it leaves the router under nat: its quote names what the receiver knows.

    The sender of one to the client is hidden behind the virtual address (RFC 5508 REQ-5), and under fullnat that of one
    to the real server behind the local end, for want of a route to any other.
    """
    quote = packet.quote
    assert quote is not None
    packet = replace(packet, ttl=packet.ttl - 1)
    address, port = entry.real if to_server else entry.virtual
    if to_server:
        other, other_port = entry.local or entry.client
        quoted = replace(
            quote.packet, source=address, source_port=port, destination=other, destination_port=other_port
        )
        source = packet.source if entry.local is None else other
        return replace(packet, source=source, destination=address, quote=replace(quote, packet=quoted))
    other, other_port = entry.client
    quoted = replace(
        quote.packet, source=other, source_port=other_port, destination=address, destination_port=port
    )
    return replace(packet, source=address, destination=other, quote=replace(quote, packet=quoted))
