"""The fake dataplane's ways to real servers: what packets travel in, and how long they may be. Pure."""

from dataclasses import replace

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.packet import Outer, Packet
from shoal.model import Address, ForwardingMethod

USUAL_MTU = 1500
_Key = tuple[str, tuple[Address, int]]


class Ways:
    """The destinations of each service, by endpoint; those that were, too, as long as connections last.

    Every way carries ``mtu`` bytes, of which an outer header takes its part.
    """

    def __init__(self, mtu: int = USUAL_MTU) -> None:
        self.mtu = mtu
        self._destinations: dict[_Key, Destination] = {}

    def note(self, service: Service) -> None:
        """Know a service's destinations."""
        for each in service.destinations:
            self._destinations[service.name, each.endpoint] = each

    def fits(self, packet: Packet, key: _Key, method: ForwardingMethod) -> bool:
        """Whether a packet can go to this destination."""
        overhead = self._destinations[key].overhead if method is ForwardingMethod.TUNNEL else 0
        return packet.length + overhead <= self.mtu

    def onward(self, packet: Packet, key: _Key, method: ForwardingMethod) -> Packet:
        """The packet that goes to this destination by a method that changes no addresses."""
        if method is not ForwardingMethod.TUNNEL:
            return replace(packet, ttl=packet.ttl - 1)
        to = self._destinations[key]
        return replace(
            packet,
            ttl=packet.ttl - 1,
            outer=Outer(destination=to.address, encap=to.encap, port=to.outer_port),
        )
