"""Whom a virtual server admits, and how many."""

from dataclasses import dataclass

from shoal.model.address import Network, address_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many in so many seconds; the period is a second, a minute or an hour."""

    count: int
    period: int

    def __str__(self) -> str:
        return f"{self.count}/{RATE_PERIODS[self.period]}"


RATE_PERIODS = {1: "s", 60: "m", 3600: "h"}
"""How periods are written, by seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Asked when a connection begins, of its client's address; connections that are there go on.

    Of the entries of ``allow`` and ``deny`` (both sorted) the longest prefix decides. A client that is in neither is
    admitted unless ``allow`` names somebody of whichever family. ``source_rate`` bounds the new connections of one
    source, an IPv4 address or an IPv6 /64, of which ``source_burst`` may come at once. ``connection_limit`` 0: none.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    connection_limit: int = 0
    source_rate: Rate | None = None
    source_burst: int = 0


EVERYBODY = Admission()
"""No lists, no limits."""


def network_order(network: Network) -> tuple[tuple[int, int], int]:
    """A key to sort networks of either family by."""
    return address_order(network.network_address), network.prefixlen
