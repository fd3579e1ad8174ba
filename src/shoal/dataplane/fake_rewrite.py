"""What nat and fullnat make of a packet, in the fake dataplane. Pure."""

from dataclasses import replace

from shoal.dataplane.fake_entries import Entry
from shoal.dataplane.packet import Packet


def towards_server(packet: Packet, entry: Entry) -> Packet:
    """A client's packet as it leaves: to the real server, and from the local end where there is one."""
    source, source_port = entry.local or entry.client
    address, port = entry.real
    return replace(
        packet,
        source=source,
        source_port=source_port,
        destination=address,
        destination_port=port,
        ttl=packet.ttl - 1,
    )


def towards_client(packet: Packet, entry: Entry) -> Packet:
    """A real server's packet as it leaves: in the virtual address's name, to the client."""
    source, source_port = entry.virtual
    address, port = entry.client
    return replace(
        packet,
        source=source,
        source_port=source_port,
        destination=address,
        destination_port=port,
        ttl=packet.ttl - 1,
    )
