"""The dataplane's contract. Three implementations keep it: ``ebpf``, ``fake`` (and later ``ipvs``).

The state a dataplane should be in and the state it is in are the same type, ``DataplaneState``; their difference
is a plan (``dataplane/plan.py``), and a plan is what ``apply`` takes. Applying a step is atomic per virtual server:
no packet sees half of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shoal.model import (
    EVERYBODY,
    GUE_PORT,
    Address,
    Admission,
    Connection,
    ConnectionState,
    Encapsulation,
    ForwardingMethod,
    Leaving,
    Listener,
    LocalPool,
    Persistence,
    Template,
)
from shoal.model.states import TIMEOUTS

_OUTER_HEADER = {4: 20, 6: 40}
_BEHIND_IT = {Encapsulation.IPIP: 0, Encapsulation.GRE: 4, Encapsulation.GUE: 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A real server as the dataplane sees it.

    ``weight`` 0: no new connections, existing ones go on. ``available`` False (its health is down): the same, and
    UDP flows and unanswered SYNs that were bound to it are scheduled anew, since they would only be lost there.
    ``port`` 0: packets keep theirs. ``method`` None: that of its service. A connection keeps the method with
    which it began. ``encap``, and with gue its UDP port, count under method tunnel alone. With ``upper_threshold``
    connections it is overloaded, and schedulers pass over it until it has fewer than ``lower_threshold``, or than three
    quarters of the upper one if that is 0. Persistence goes first: it does not look at thresholds.
    ``draining``: nor does it send any new connection here. ``cut``: its connections end at the client's next packet.
    """

    address: Address
    port: int
    weight: int
    available: bool = True
    method: ForwardingMethod | None = None
    encap: Encapsulation = Encapsulation.IPIP
    encap_port: int = GUE_PORT
    upper_threshold: int = 0
    lower_threshold: int = 0
    draining: bool = False
    cut: bool = False

    @property
    def endpoint(self) -> tuple[Address, int]:
        """Address and port: the identity of a destination within its service."""
        return self.address, self.port

    @property
    def outer_port(self) -> int:
        """The UDP port that packets travel to through a tunnel; 0 where there is none."""
        return self.encap_port if self.encap is Encapsulation.GUE else 0

    @property
    def overhead(self) -> int:
        """Bytes in front of a packet on its way through a tunnel."""
        return _OUTER_HEADER[self.address.version] + _BEHIND_IT[self.encap]

    @property
    def takes_new(self) -> bool:
        """Whether a scheduler may choose it."""
        return self.available and self.weight > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A virtual server as the dataplane sees it. ``destinations`` are in the order of the configuration.

    The order of ``listeners`` and of ``scheduler_flags`` means nothing. ``method`` is that of the destinations that
    have none of their own. Under ``dr`` and ``tunnel`` a destination's port is not used: the packet arrives as it was
    sent. ``on_removal`` says what becomes of connections of destinations that leave the service, at the next packet of
    the client, and ``on_down`` of those of destinations that are not available. Those that are kept after a removal
    are ended at the first sweep after ``drain_timeout`` seconds; 0: they never are.
    ``mss_clamp``: the largest TCP segment that a SYN may announce, in bytes; True: what the ways carry.
    ``marks`` are firewall marks that lead here, whatever the address. ``one_packet``: every datagram is scheduled
    by itself and no connection is kept. ``sloppy``: a TCP packet that is neither SYN nor RST may begin a connection.
    """

    name: str
    listeners: tuple[Listener, ...]
    scheduler: str
    method: ForwardingMethod
    destinations: tuple[Destination, ...]
    scheduler_flags: tuple[str, ...] = ()
    mss_clamp: bool | int = False
    persistence: Persistence | None = None
    on_removal: Leaving = Leaving.KEEP
    on_down: Leaving = Leaving.KEEP
    drain_timeout: int = 0
    marks: tuple[int, ...] = ()
    one_packet: bool = False
    sloppy: bool = False
    admission: Admission = EVERYBODY

    def method_of(self, destination: Destination) -> ForwardingMethod:
        """How packets reach one of its destinations."""
        return destination.method or self.method

    def encapsulation_of(self, destination: Destination) -> tuple[Encapsulation, int]:
        """What packets to one of its destinations travel in, and the UDP port; the usual where that means nothing."""
        if self.method_of(destination) is not ForwardingMethod.TUNNEL:
            return Encapsulation.IPIP, GUE_PORT
        return (
            destination.encap,
            destination.encap_port if destination.encap is Encapsulation.GUE else GUE_PORT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataplaneState:
    """All services, by name, and how many seconds a connection is kept in each state without a packet."""

    services: Mapping[str, Service] = field(default_factory=dict)
    timeouts: Mapping[ConnectionState, float] = field(default_factory=lambda: dict(TIMEOUTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class PutService:
    """Create a service, or replace it in one flip. ``changes`` says what differs, for people."""

    service: Service
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveService:
    """Remove a service and its listeners; its connections go on until they expire."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimeouts:
    """Replace the timeouts: whole seconds, one for each state. A connection goes by them from its next packet on."""

    timeouts: Mapping[ConnectionState, float]
    changes: tuple[str, ...] = ()


Step = PutService | RemoveService | SetTimeouts


OVERLOAD_SECONDS = 10.0


class Drop(StrEnum):
    """Why a packet was dropped. Every drop has one of these names and a counter."""

    NO_REAL_SERVER = "no_real_server"
    TABLE_FULL = "table_full"
    REPLY_TUPLE_IN_USE = "reply_tuple_in_use"
    TTL_EXCEEDED = "ttl_exceeded"
    FRAGMENT_WITHOUT_FIRST = "fragment_without_first"
    NO_ROUTE = "no_route"
    LEASE_EXPIRED = "lease_expired"
    INTERNAL = "internal"
    PACKET_TOO_BIG = "packet_too_big"
    REMOVED = "removed"
    NO_LOCAL_PORT = "no_local_port"
    DENIED = "denied"
    CONNECTION_LIMIT = "connection_limit"
    SOURCE_RATE = "source_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationCounters:
    """What one real server of one service has had. ``active`` and ``inactive`` are connections right now.

    ``overloaded``: its thresholds keep new connections away.
    """

    active: int = 0
    inactive: int = 0
    connections: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    overloaded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCounters:
    """Totals of a service, its drops by reason, and its destinations by ``(address, port)``.

    ``unpersisted``: connections that persistence could not remember, because there was no room for a template.
    ``stateless_packets`` were balanced although the table had no place for their connections.
    """

    connections: int = 0
    stateless_packets: int = 0
    drops: Mapping[Drop, int] = field(default_factory=dict)
    destinations: Mapping[tuple[Address, int], DestinationCounters] = field(default_factory=dict)
    unpersisted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Counters of every service, and the drops that belong to none.

    ``connections_held`` is as of the last sweep; ``connections_limit`` is how many places the table has. IPv6
    connections have a table of their own. ``local_ports_held`` is how many fullnat connections there are, as of the
    last sweep.
    """

    services: Mapping[str, ServiceCounters] = field(default_factory=dict)
    drops: Mapping[Drop, int] = field(default_factory=dict)
    connections_held: int = 0
    connections_limit: int = 0
    ipv6_connections_held: int = 0
    ipv6_connections_limit: int = 0
    local_ports_held: int = 0

    @property
    def stateless_packets(self) -> int:
        """Packets of all services that were balanced for lack of a place in the table."""
        return sum(each.stateless_packets for each in self.services.values())

    @property
    def held(self) -> int:
        """Connections of both families."""
        return self.connections_held + self.ipv6_connections_held

    @property
    def limit(self) -> int:
        """Places for both families."""
        return self.connections_limit + self.ipv6_connections_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Where a dataplane takes packets from: an interface, the hook in use, and why that one."""

    interface: str
    hook: str
    reason: str


class Dataplane(ABC):
    """Forwards packets. Calls may block for milliseconds; callers with a loop use a thread."""

    name: str

    @abstractmethod
    def actual(self) -> DataplaneState:
        """What is really installed, read back (not what was asked for)."""

    @abstractmethod
    def apply(self, steps: Sequence[Step]) -> None:
        """Carry out a plan in order. Raises ``KernelError`` or ``ConfigError``; the failed step changed nothing."""

    @abstractmethod
    def use_local(self, pool: LocalPool) -> None:
        """Take the local ends of fullnat connections from this pool from now on; those there are keep theirs.

        A dataplane remembers it; without one there are no such connections. Raises ConfigError when it is too large.
        """

    @abstractmethod
    def attachments(self) -> tuple[Attachment, ...]:
        """The interfaces it is attached to."""

    @abstractmethod
    def connections(self, *, limit: int) -> Iterable[Connection]:
        """Up to ``limit`` live connections, in no order."""

    @abstractmethod
    def templates(self, *, limit: int) -> Iterable[Template]:
        """Up to ``limit`` persistence templates that are in force, in no order."""

    @abstractmethod
    def counters(self) -> Counters:
        """A snapshot of all counters."""

    def flows(self, name: str) -> Mapping[tuple[Address, int], int]:
        """Connections of every real server of one service right now; empty where there is no such service."""
        found = self.counters().services.get(name, ServiceCounters())
        return {each: share.active + share.inactive for each, share in found.destinations.items()}

    @abstractmethod
    def overloaded(self) -> bool:
        """Whether within the last ``OVERLOAD_SECONDS`` a new connection found no place in the table."""

    @abstractmethod
    def sweep(self) -> int:
        """Remove every expired connection and template, in slices; returns how many connections. May take long."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the handles. What is installed stays and goes on forwarding."""

    @abstractmethod
    def remove(self) -> None:
        """Take everything this dataplane installed out of the kernel."""
