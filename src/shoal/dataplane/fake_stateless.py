"""Packets of the dataplane in memory that no connection is kept of: the table has no place, or each goes by itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from shoal.dataplane.base import OVERLOAD_SECONDS, Destination, Drop, Service
from shoal.dataplane.fake_choices import Choices
from shoal.dataplane.fake_entries import Chosen, Endpoint, Entry, Installed
from shoal.dataplane.fake_listeners import Listeners, name_outside
from shoal.dataplane.packet import Packet
from shoal.model import ConnectionState, ForwardingMethod, Protocol
from shoal.model.sctp_states import SctpEvent
from shoal.model.tcp_states import TcpEvent


class StatelessPackets:
    """What may be served without an entry, and whose it is. ``timeouts`` gives those in force."""

    def __init__(
        self,
        *,
        choices: Choices,
        installed: Mapping[str, Installed],
        listeners: Callable[[], Listeners],
        timeouts: Callable[[], Mapping[ConnectionState, float]],
    ) -> None:
        self._choices = choices
        self._installed = installed
        self._listeners = listeners
        self._timeouts = timeouts
        self._refused: dict[int, float] = {}  # by family: when a connection last found no place

    def overloaded(self, *, now: float) -> bool:
        """Whether a table was full a moment ago."""
        return any(now - refused < OVERLOAD_SECONDS for refused in self._refused.values())

    def was_overloaded(
        self, family: int, state: ConnectionState = ConnectionState.ESTABLISHED, *, now: float
    ) -> bool:
        """Whether connections of the family may be alive in this state that found no place in the table."""
        refused = self._refused.get(family)
        return refused is not None and now - refused < self._timeouts()[state]

    def may_open(self, packet: Packet, installed: Installed | None, *, now: float) -> bool:
        """Whether a packet may begin a connection, or go on with one that the table had no place for."""
        if packet.opens:
            return True
        if packet.protocol in (None, Protocol.UDP) or packet.event is TcpEvent.SYN or installed is None:
            return False
        if self.was_overloaded(packet.source.version, now=now):
            return True
        return installed.service.sloppy and packet.event not in (TcpEvent.RST, SctpEvent.ABORT)

    def serve(self, packet: Packet, installed: Installed, chosen: Chosen, *, now: float) -> Entry | Drop:
        """The table has no place: the template's choice, or one that any router makes alike; nothing is remembered."""
        self._refused[packet.source.version] = now
        service, (endpoint, method, is_templated) = installed.service, chosen
        if not is_templated:
            destination = self._choices.by_rendezvous(installed, packet, now=now)
            if destination is None:
                return Drop.NO_REAL_SERVER
            endpoint, method = destination.endpoint, service.method_of(destination)
        entry = Entry.of(packet, service.name, (endpoint, method, False))
        entry.loose = True
        if entry.method is ForwardingMethod.FULLNAT:
            return Drop.TABLE_FULL
        if entry.method is ForwardingMethod.NAT:
            found = self._outside(entry.protocol, entry.real)
            if found is None or (found[0].name, found[1].endpoint, found[2]) != (
                service.name,
                endpoint,
                entry.virtual,
            ):
                return Drop.TABLE_FULL
        installed.stateless_packets += 1
        return entry

    def reply(self, packet: Packet, *, now: float) -> Entry | None:
        """A reply for which there is no connection, but which may have been asked for."""
        assert packet.protocol is not None
        found = self._outside(packet.protocol, (packet.source, packet.source_port))
        if found is None:
            return None
        service, destination, (address, port) = found
        is_one_packet = service.one_packet and packet.protocol is Protocol.UDP
        if not is_one_packet and not self.was_overloaded(packet.source.version, now=now):
            return None
        if not is_one_packet:
            self._installed[service.name].stateless_packets += 1
        request = replace(
            packet,
            source=packet.destination,
            source_port=packet.destination_port,
            destination=address,
            destination_port=port,
        )
        entry = Entry.of(request, service.name, (destination.endpoint, service.method_of(destination), False))
        entry.loose = True
        return entry

    def clear(self) -> None:
        """Forget that a table was ever full."""
        self._refused.clear()

    def _outside(self, protocol: Protocol, real: Endpoint) -> tuple[Service, Destination, Endpoint] | None:
        services: Iterable[Service] = (each.service for each in self._installed.values())
        return name_outside(services, protocol, real, listeners=self._listeners())
