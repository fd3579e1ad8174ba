"""The fake dataplane's ways to real servers: what packets travel in, and how long they may be. Pure."""

from dataclasses import replace

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.packet import IP_HEADER, L4_HEADER, Outer, Packet
from shoal.model import Address, ForwardingMethod, Protocol
from shoal.model.tcp_states import TcpEvent

USUAL_MTU = 1500
_Key = tuple[str, tuple[Address, int]]


class Ways:
    """The destinations of each service, by endpoint; those that were, too, as long as connections last.

    Every way carries ``mtu`` bytes, of which an outer header takes its part.
    """

    def __init__(self, mtu: int = USUAL_MTU) -> None:
        self.mtu = mtu
        self._destinations: dict[_Key, Destination] = {}
        self._clamps: dict[str, bool | int] = {}

    def note(self, service: Service) -> None:
        """Know a service's destinations."""
        self._clamps[service.name] = service.mss_clamp
        for each in service.destinations:
            self._destinations[service.name, each.endpoint] = each

    def fits(self, packet: Packet, key: _Key, method: ForwardingMethod) -> bool:
        """Whether a packet can go to this destination."""
        return packet.length <= self._room(key, method)

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

    def clamped(self, packet: Packet, key: _Key, method: ForwardingMethod) -> Packet:
        """A SYN announces no larger segments than the service wants."""
        clamp = self._clamps[key[0]]
        if clamp is False or not packet.mss or packet.event is not TcpEvent.SYN:
            return packet
        headers = IP_HEADER[packet.source.version] + L4_HEADER[Protocol.TCP]
        fits = self._room(key, method) - headers if clamp is True else clamp
        return replace(packet, mss=min(packet.mss, fits))

    def _room(self, key: _Key, method: ForwardingMethod) -> int:
        overhead = self._destinations[key].overhead if method is ForwardingMethod.TUNNEL else 0
        return self.mtu - overhead
