"""Addresses of either family."""

from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address
"""An IPv4 or IPv6 address; never an IPv4 address mapped into IPv6."""
