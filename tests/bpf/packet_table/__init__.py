"""The packet table: rows by kind, run by test_packet_table.py and shown in docs/packet-table.md."""

from packet_table import (
    arp,
    checksums,
    drops,
    errors,
    extension_errors,
    extensions,
    forwarding,
    fragments,
    lengths,
    lifetimes,
    not_ours,
    sctp,
    tcp_states,
    tunnels,
)
from packet_table.row import Row

KINDS: dict[str, list[Row]] = {
    "Forwarding": forwarding.ROWS,
    "TCP flags and states": tcp_states.ROWS,
    "SCTP": sctp.ROWS,
    "Tunnels and what does not fit": tunnels.ROWS,
    "Fragments": fragments.ROWS,
    "ICMP errors": errors.ROWS,
    "IPv6 extension headers": extensions.ROWS,
    "ICMPv6 and extension headers": extension_errors.ROWS,
    "The ends of packets and connections": lifetimes.ROWS,
    "Named drops": drops.ROWS,
    "Checksums": checksums.ROWS,
    "Lengths, versions and sizes": lengths.ROWS,
    "Not ours": not_ours.ROWS,
    "ARP and neighbour discovery": arp.ROWS,
}

ROWS: list[Row] = [row for rows in KINDS.values() for row in rows]
