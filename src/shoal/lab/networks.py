"""The lab's two networks in either family, as data. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_interface

from shoal.model import Address, Interface, Network


class Family(StrEnum):
    """The family of every address in a lab."""

    IPV4 = "4"
    IPV6 = "6"


class Bridge(StrEnum):
    """The two networks of the lab, each a bridge in the switch's namespace."""

    PUBLIC = "br-public"
    PRIVATE = "br-private"

    @property
    def path(self) -> str:
        """The name of the cluster's path over this network."""
        return self.removeprefix("br-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """One family's networks.

    Hosts have the same numbers in every family: they are read in ``base``, so that the 21st is 10.211.0.21 and
    fd00:211::21. ``listen`` is every address, as nginx writes it. ``link_local`` is the prefix of
    the addresses that a host needs on each link beside those of its networks.
    """

    by_bridge: Mapping[Bridge, Network]
    base: int
    listen: str
    link_local: IPv6Network | None = None

    def host(self, bridge: Bridge, number: int) -> Interface:
        """The address of a host, with its network's prefix."""
        network = self.by_bridge[bridge]
        return ip_interface((network[int(str(number), self.base)], network.prefixlen))

    def addresses(self, bridge: Bridge, number: int) -> tuple[Interface, ...]:
        """All that a host has on a link, its address in the network first."""
        own = self.host(bridge, number)
        if self.link_local is None:
            return (own,)
        return own, ip_interface((self.link_local[int(str(number), self.base)], self.link_local.prefixlen))


NETWORKS: Mapping[Family, Networks] = {
    Family.IPV4: Networks(
        by_bridge={
            Bridge.PUBLIC: IPv4Network("10.210.0.0/24"),
            Bridge.PRIVATE: IPv4Network("10.211.0.0/24"),
        },
        base=10,
        listen="0.0.0.0",
    ),
    Family.IPV6: Networks(
        by_bridge={
            Bridge.PUBLIC: IPv6Network("2001:db8:210::/64"),
            Bridge.PRIVATE: IPv6Network("fd00:211::/64"),
        },
        base=16,
        listen="[::]",
        link_local=IPv6Network("fe80::/64"),
    ),
}


def literal(address: Address) -> str:
    """An address as a URL has it (RFC 3986 section 3.2.2)."""
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
