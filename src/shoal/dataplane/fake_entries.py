"""What the dataplane in memory keeps: connections, and services with their schedulers' memory."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from shoal.dataplane.base import Drop, Service, ServiceCounters
from shoal.dataplane.packet import Packet
from shoal.dataplane.tally import Tally
from shoal.model import Address, Connection, ConnectionState, ForwardingMethod, Protocol
from shoal.model.states import CLOSED_STATES
from shoal.schedulers import Scheduler

Endpoint = tuple[Address, int]
Client = tuple[Protocol, Address, int]
Chosen = tuple[Endpoint, ForwardingMethod, bool]
"""Real server and method of a new connection, and whether a template counts it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """A connection. ``born`` orders half-open ones by age; ``is_templated``: a template counts it; ``local`` is its end
    at this router under fullnat. ``real`` is where its packets go, ``destination`` whose they are counted. A loose one
    is that of a single packet, and not remembered.
    """

    protocol: Protocol
    client: Endpoint
    virtual: Endpoint
    real: Endpoint
    destination: Endpoint
    service: str
    method: ForwardingMethod
    state: ConnectionState
    born: int
    deadline: float = 0.0
    is_templated: bool = False
    local: Endpoint | None = None
    loose: bool = False

    @classmethod
    def of(cls, packet: Packet, service: str, chosen: Chosen, *, born: int = 0) -> "Entry":
        """What is to be remembered of a client's packet that goes to a real server."""
        assert packet.protocol is not None
        destination, method, is_templated = chosen
        return cls(
            protocol=packet.protocol,
            client=(packet.source, packet.source_port),
            virtual=(packet.destination, packet.destination_port),
            real=(destination[0], destination[1] or packet.destination_port),
            destination=destination,
            service=service,
            method=method,
            state=ConnectionState.UDP if packet.protocol is Protocol.UDP else ConnectionState.NONE,
            born=born,
            is_templated=is_templated,
        )

    @property
    def key(self) -> Client:
        """What it is found by."""
        return self.protocol, *self.client

    @property
    def family(self) -> int:
        """4 or 6: that of the client."""
        return self.client[0].version

    @property
    def is_closed(self) -> bool:
        """Whether both sides have closed it, so that its client may use its port again."""
        return self.state in CLOSED_STATES

    def shown(self, *, now: float) -> Connection:
        """The entry as others see it."""
        return Connection(
            protocol=self.protocol,
            client=self.client,
            virtual=self.virtual,
            real=self.real,
            state=self.state,
            expires_in=self.deadline - now,
            virtual_server=self.service,
        )


@dataclass(slots=True, kw_only=True)
class Installed:
    """A service with its scheduler's memory. Counters belong to the name, and outlive a replacement."""

    service: Service
    scheduler: Scheduler
    connections: int = 0
    unpersisted: int = 0
    stateless_packets: int = 0
    drops: Counter[Drop] = field(default_factory=Counter)

    def counted(self, tally: Callable[[str, Endpoint], Tally]) -> ServiceCounters:
        """Its counters as they are now."""
        return ServiceCounters(
            connections=self.connections,
            stateless_packets=self.stateless_packets,
            drops=dict(self.drops),
            unpersisted=self.unpersisted,
            destinations={
                each.endpoint: tally(self.service.name, each.endpoint).snapshot()
                for each in self.service.destinations
            },
        )
