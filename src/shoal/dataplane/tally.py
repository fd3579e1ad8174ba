"""A destination's counters while they are counted. Pure."""

from dataclasses import dataclass

from shoal.dataplane.base import Destination, DestinationCounters
from shoal.schedulers import Load


@dataclass(slots=True, kw_only=True)
class Tally:
    """What ``DestinationCounters`` holds, before it is frozen."""

    active: int = 0
    inactive: int = 0
    connections: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0

    def snapshot(self) -> DestinationCounters:
        """The counters as they are now."""
        return DestinationCounters(
            active=self.active,
            inactive=self.inactive,
            connections=self.connections,
            packets_in=self.packets_in,
            bytes_in=self.bytes_in,
            packets_out=self.packets_out,
            bytes_out=self.bytes_out,
        )

    def load_of(self, destination: Destination) -> Load:
        """The destination as a scheduler sees it."""
        return Load(
            weight=destination.weight,
            active=self.active,
            inactive=self.inactive,
            available=destination.available,
            address=destination.address,
            port=destination.port,
        )
