"""Addresses of either family."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

Address = IPv4Address | IPv6Address
"""An IPv4 or IPv6 address; never an IPv4 address mapped into IPv6."""

Interface = IPv4Interface | IPv6Interface
"""An address with the length of its network's prefix."""

Network = IPv4Network | IPv6Network


def address_order(address: Address | Interface) -> tuple[int, int]:
    """A key to sort by: addresses of different families cannot be compared. IPv4 comes first."""
    return address.version, int(address)


def endpoint(address: Address, port: int) -> str:
    """``192.0.2.10:80`` or ``[2001:db8::10]:80`` (RFC 5952 section 6); port 0, which is any, as ``*``."""
    shown = port or "*"
    return f"[{address!s}]:{shown}" if address.version == 6 else f"{address!s}:{shown}"  # !s: half the time
