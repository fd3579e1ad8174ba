"""A destination's counters while they are counted. Pure."""

from dataclasses import dataclass

from shoal.dataplane.base import Destination, DestinationCounters, Service
from shoal.dataplane.packet import Packet
from shoal.model import ForwardingMethod, Leaving, Persistence
from shoal.model.sctp_states import SctpEvent
from shoal.model.tcp_states import TcpEvent
from shoal.schedulers import Load


@dataclass(slots=True, kw_only=True)
class Tally:
    """What ``DestinationCounters`` holds, before it is frozen; and the destination as it was last installed."""

    active: int = 0
    inactive: int = 0
    connections: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    overloaded: bool = False
    destination: Destination | None = None
    method: ForwardingMethod | None = None
    is_listed: bool = False
    is_cut: bool = False
    moves: bool = False
    drain_until: float | None = None

    def add(self, length: int, *, inwards: bool) -> None:
        """Count a packet of so many bytes, towards the real server or from it."""
        if inwards:
            self.packets_in += 1
            self.bytes_in += length
        else:
            self.packets_out += 1
            self.bytes_out += length

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
            overloaded=self.overloaded,
        )

    def load_of(self, destination: Destination) -> Load:
        """The destination as a scheduler sees it."""
        return Load(
            weight=destination.weight,
            active=self.active,
            inactive=self.inactive,
            available=destination.available,
            overloaded=self.overloaded,
            address=destination.address,
            port=destination.port,
        )

    def install(self, destination: Destination, service: Service) -> None:
        """Count for this destination, as it is configured now; other thresholds hold at once."""
        before, self.destination, self.is_listed = self.destination, destination, True
        self.method = service.method_of(destination)
        self.is_cut, self.moves, self.drain_until = destination.cut, False, None
        if not self.is_cut and not destination.available:
            self._leave(service.on_down)
        thresholds = destination.upper_threshold, destination.lower_threshold
        if before is None or thresholds != (before.upper_threshold, before.lower_threshold):
            self.overloaded = 0 < thresholds[0] <= self.active + self.inactive

    def remove(self, service: Service, *, now: float) -> None:
        """Its destination leaves the service."""
        if self.is_listed:
            self.is_listed = False
            self._leave(service.on_removal)
            if service.drain_timeout and not self.is_cut:
                self.drain_until = now + service.drain_timeout

    def end_drain(self, *, now: float) -> None:
        """End the connections that were kept after a removal, if that is over."""
        if self.drain_until is not None and self.drain_until <= now:
            self.is_cut, self.drain_until = True, None

    def _leave(self, how: Leaving) -> None:
        self.is_cut, self.moves = how is not Leaving.KEEP, how is Leaving.MOVE

    def emptied(self) -> "Tally":
        """For connections that outlive their service: nothing counted but them."""
        return Tally(
            active=self.active,
            inactive=self.inactive,
            is_cut=self.is_cut,
            moves=self.moves,
            drain_until=self.drain_until,
        )

    def ends(self, packet: Packet) -> bool:
        """Whether a client's packet ends its connection. One that could open another does that; a reset goes on."""
        is_reset = packet.event in (TcpEvent.RST, SctpEvent.ABORT)
        return self.is_cut and not packet.opens and not is_reset

    def begin(self) -> None:
        """A connection has begun, and is in the counts (ip_vs_bind_dest(), ip_vs_conn.c)."""
        self.connections += 1
        if self.destination and 0 < self.destination.upper_threshold <= self.active + self.inactive:
            self.overloaded = True

    def end(self) -> None:
        """A connection has ended, and is no longer in the counts (ip_vs_unbind_dest())."""
        if self.destination is None:
            return
        upper, lower = self.destination.upper_threshold, self.destination.lower_threshold
        total = self.active + self.inactive
        if total < lower if lower else 4 * total < 3 * upper:
            self.overloaded = False

    def method_for(self, persistence: Persistence) -> ForwardingMethod | None:
        """By which method a template may send it new connections; None when it may not."""
        each = self.destination
        if (
            each is None
            or self.is_cut
            or each.draining
            or not each.available
            or (each.weight == 0 and persistence.expire_quiescent)
        ):
            return None
        if not self.is_listed and (persistence.expire_removed or not (self.active or self.inactive)):
            return None
        return self.method
