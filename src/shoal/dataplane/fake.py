"""The dataplane in memory: it forwards simulated packets as IPVS does. For fast tests and what-if questions.

It has no clock: time passes with the packets and with ``advance``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from shoal.dataplane.base import (
    Attachment,
    Counters,
    Dataplane,
    DataplaneState,
    Destination,
    Drop,
    PutService,
    RemoveService,
    Service,
    Step,
)
from shoal.dataplane.fake_entries import Chosen, Client, Endpoint, Entry, Installed
from shoal.dataplane.fake_local import LocalPorts
from shoal.dataplane.fake_persistence import Templates
from shoal.dataplane.fake_rewrite import towards_client, towards_server
from shoal.dataplane.fake_uncommon import UncommonPackets
from shoal.dataplane.fake_ways import Ways
from shoal.dataplane.packet import PASS, Packet, TcpFlags, Verdict, drop, forward
from shoal.dataplane.tally import Tally
from shoal.errors import ConfigError
from shoal.model import Connection, ConnectionState, ForwardingMethod, Listener, LocalPool, Protocol, Template
from shoal.model.tcp_states import ACTIVE_STATES, TIMEOUTS, TRANSITIONS, Direction
from shoal.schedulers import Request, scheduler_class
from shoal.schedulers.twos import chances


class FakeDataplane(Dataplane):
    """Keeps services and connections in dictionaries: ``max_connections`` of IPv4, ``max_connections_ipv6`` of IPv6.

    ``chance`` gives the random numbers of 32 bits that twos wants; without it they are the same each time.
    """

    name = "fake"

    def __init__(
        self,
        *,
        max_connections: int = 1024,
        max_connections_ipv6: int = 1024,
        max_templates: int = 1024,
        attachments: tuple[Attachment, ...] = (),
        chance: Callable[[], int] | None = None,
    ) -> None:
        self._chance = chance or chances().__next__
        self._limits = {4: max_connections, 6: max_connections_ipv6}
        self._attachments = attachments
        self._now = 0.0
        self._born = 0
        self._installed: dict[str, Installed] = {}
        self._listeners: dict[Listener, str] = {}
        self._by_client: dict[Client, list[Entry]] = {}
        self._held = Counter[int]()
        self._local_ports = LocalPorts()
        self._drops: Counter[Drop] = Counter()
        self._tallies: dict[tuple[str, Endpoint], Tally] = {}
        self._ways = Ways()
        self._templates = Templates(max_templates)
        self.uncommon = UncommonPackets(
            judge=self._judge, find=self._find, drop=self._drop, tally=self._tally, ways=self._ways
        )

    def actual(self) -> DataplaneState:
        """What is installed."""
        return DataplaneState(services={name: each.service for name, each in self._installed.items()})

    def apply(self, steps: Sequence[Step]) -> None:
        """Carry out the steps. Raises ConfigError at one that takes another service's listener."""
        for step in steps:
            if isinstance(step, PutService):
                self._put(step.service)
            elif isinstance(step, RemoveService):
                self._remove(step.name)

    def use_local(self, pool: LocalPool) -> None:
        """Take the local ends of fullnat connections from this pool from now on; without one there are none."""
        self._local_ports.pool = pool

    def attachments(self) -> tuple[Attachment, ...]:
        """The interfaces it was made with."""
        return self._attachments

    def connections(self, *, limit: int) -> Iterable[Connection]:
        """Live connections as of the last packet or ``advance``."""
        live = (entry for entry in self._entries() if entry.deadline > self._now)
        for entry in islice(live, limit):
            yield entry.shown(now=self._now)

    def templates(self, *, limit: int) -> Iterable[Template]:
        """Templates in force as of the last packet or ``advance``."""
        return islice(self._templates.in_force(now=self._now), limit)

    def counters(self) -> Counters:
        """A snapshot of all counters."""
        return Counters(
            services={name: each.counted(self._tally) for name, each in self._installed.items()},
            drops=dict(self._drops),
            connections_held=self._held[4],
            connections_limit=self._limits[4],
            ipv6_connections_held=self._held[6],
            ipv6_connections_limit=self._limits[6],
            local_ports_held=self._local_ports.held,
        )

    def sweep(self) -> int:
        """Remove every expired connection."""
        self.uncommon.sweep(now=self._now)
        expired = [entry for entry in self._entries() if entry.deadline <= self._now]
        for entry in expired:
            self._forget(entry)
        self._templates.sweep(now=self._now)
        return len(expired)

    def close(self) -> None:
        """Nothing to let go of."""

    def remove(self) -> None:
        """Forget services and connections."""
        self._installed.clear()
        self._listeners.clear()
        self._by_client.clear()
        self._tallies.clear()
        self._drops.clear()
        self._held.clear()
        self._templates.clear()
        self._local_ports.clear()

    def advance(self, now: float) -> None:
        """Let time pass until ``now``; it never goes back."""
        self._now = max(self._now, now)

    def forward(self, packet: Packet, *, now: float) -> Verdict:
        """What becomes of a packet that arrives at ``now``."""
        self.advance(now)
        return self.uncommon.forward(packet, now=now)

    def _judge(self, packet: Packet) -> Verdict:
        """Find the connection that a packet of TCP or UDP belongs to, and do with it as that says."""
        assert packet.protocol is not None
        source = (packet.source, packet.source_port)
        destination = (packet.destination, packet.destination_port)
        entry = self._find((packet.protocol, *source), virtual=destination)
        if entry is not None or self._service_at(packet.protocol, destination) is not None:
            return self._to_real_server(packet, entry)
        entry = self._find((packet.protocol, *destination), real=source)
        return PASS if entry is None else self._to_client(packet, entry)

    def _to_real_server(self, packet: Packet, entry: Entry | None) -> Verdict:
        """A packet of a client, or one that wants to be."""
        assert packet.protocol is not None
        endpoint = (packet.destination, packet.destination_port)
        listener = self._service_at(packet.protocol, endpoint)
        name = entry.service if entry else listener.service.name if listener else ""
        if entry is None and not packet.opens:
            return PASS
        if entry is not None and self._tally(entry.service, entry.real).ends(packet):
            self._step(entry, replace(packet, flags=TcpFlags.RST), direction=Direction.INPUT)
            return self._drop(name, Drop.REMOVED)
        if packet.ttl <= 1:
            return self._drop(name, Drop.TTL_EXCEEDED)
        if entry is None or self._must_be_scheduled_anew(packet, entry):
            scheduled = self._schedule(packet, listener, replacing=entry)
            if isinstance(scheduled, Verdict):
                return scheduled
            entry = scheduled
        key = entry.service, entry.real
        if not self._ways.fits(packet, key, entry.method):
            return self._drop(entry.service, Drop.PACKET_TOO_BIG)
        self._tally(*key).add(packet.length, inwards=True)
        packet = self._ways.clamped(packet, key, entry.method)
        if entry.method in (ForwardingMethod.DR, ForwardingMethod.TUNNEL):
            self._step(entry, packet, direction=Direction.INPUT_ONLY)
            return forward(self._ways.onward(packet, key, entry.method))
        self._step(entry, packet, direction=Direction.INPUT)
        return forward(towards_server(packet, entry))

    def _to_client(self, packet: Packet, entry: Entry) -> Verdict:
        """A reply of a real server."""
        if packet.ttl <= 1:
            return self._drop(entry.service, Drop.TTL_EXCEEDED)
        if packet.length > self._ways.mtu:
            return self._drop(entry.service, Drop.PACKET_TOO_BIG)
        self._tally(entry.service, entry.real).add(packet.length, inwards=False)
        self._step(entry, packet, direction=Direction.OUTPUT)
        packet = self._ways.clamped(packet, (entry.service, entry.real), entry.method)
        return forward(towards_client(packet, entry))

    def _find(
        self, client: Client, *, virtual: Endpoint | None = None, real: Endpoint | None = None
    ) -> Entry | None:
        """The live connection of a client or local end to a virtual or from a real endpoint; an expired one goes.

        A real server under direct routing answers in the virtual address's own name, so never from its endpoint.
        """
        for entry in list(self._by_client.get(client, ())):
            if entry.deadline <= self._now:
                self._forget(entry)
            elif virtual == entry.virtual or (real == entry.real and entry.method is ForwardingMethod.NAT):
                return entry
        return None if real is None else self._local_ports.owner(client, real=real, now=self._now)

    def _must_be_scheduled_anew(self, packet: Packet, entry: Entry) -> bool:
        """A client's port that is used again, or a flow that would be lost on a real server that is down."""
        listener = self._service_at(entry.protocol, entry.virtual)
        if listener is None or not packet.opens:
            return False
        if entry.is_closed or self._tally(entry.service, entry.real).is_cut:
            return True
        unanswered = entry.state in (ConnectionState.UDP, ConnectionState.SYN_RECV)
        return unanswered and not any(
            each.endpoint == entry.real and each.available for each in listener.service.destinations
        )

    def _schedule(
        self, packet: Packet, listener: Installed | None, *, replacing: Entry | None
    ) -> Entry | Verdict:
        """A new connection on the destination that the scheduler chooses, or why there is none."""
        assert listener is not None
        assert packet.protocol is not None
        name = listener.service.name
        if replacing is not None:
            self._forget(replacing)
        chosen = self._choose_persistently(listener, packet)
        if chosen is None:
            return self._drop(name, Drop.NO_REAL_SERVER)
        real, method, is_templated = chosen
        client = (packet.source, packet.source_port)
        taken = self._find((packet.protocol, *client), real=real) is not None
        if taken and method is ForwardingMethod.NAT:
            return self._give_up(listener, chosen, packet, Drop.REPLY_TUPLE_IN_USE)
        if not self._make_room(packet.source.version):
            return self._give_up(listener, chosen, packet, Drop.TABLE_FULL)
        self._born += 1
        entry = Entry(
            protocol=packet.protocol,
            client=client,
            virtual=(packet.destination, packet.destination_port),
            real=real,
            service=name,
            method=method,
            state=ConnectionState.NONE if packet.protocol is Protocol.TCP else ConnectionState.UDP,
            born=self._born,
            is_templated=is_templated,
        )
        if method is ForwardingMethod.FULLNAT and not self._local_ports.take(entry):
            return self._give_up(listener, chosen, packet, Drop.NO_LOCAL_PORT)
        self._remember(entry)
        listener.connections += 1
        return entry

    def _choose_persistently(self, installed: Installed, packet: Packet) -> Chosen | None:
        """Where the client's template sends it, or where the scheduler does; with the method."""
        service = installed.service
        kept = self._templates.recall(service, packet.source, now=self._now)
        if kept is not None and service.persistence is not None:
            method = self._tally(service.name, kept).method_for(service.persistence)
            if method is not None:
                return kept, method, True
            self._templates.release(service, packet.source, kept)
        destination = self._choose(installed, packet)
        if destination is None:
            return None
        is_kept = self._templates.make(service, packet.source, destination.endpoint, now=self._now)
        if service.persistence is not None and not is_kept:
            installed.unpersisted += 1
        return destination.endpoint, service.method_of(destination), is_kept

    def _give_up(self, installed: Installed, chosen: Chosen, packet: Packet, reason: Drop) -> Verdict:
        """A connection that was given a real server does not come about."""
        if chosen[2]:
            self._templates.release(installed.service, packet.source, chosen[0])
        return self._drop(installed.service.name, reason)

    def _choose(self, installed: Installed, packet: Packet) -> Destination | None:
        """The scheduler's choice by the loads of this moment."""
        destinations = installed.service.destinations
        tallies = [self._tally(installed.service.name, each.endpoint) for each in destinations]
        loads = [tally.load_of(each) for each, tally in zip(destinations, tallies, strict=True)]
        request = Request(
            client=packet.source,
            client_port=packet.source_port,
            virtual_address=packet.destination,
            chance=(self._chance(), self._chance()),
            now=self._now,
        )
        index = installed.scheduler.choose(loads, request)
        return None if index is None else destinations[index]

    def _make_room(self, family: int) -> bool:
        """Whether its family has room for one more; if need be the oldest half-open connection gives way."""
        if self._held[family] == self._limits[family]:
            self.sweep()
        if self._held[family] < self._limits[family]:
            return True
        ours = (entry for entry in self._entries() if entry.family == family)
        half_open = [entry for entry in ours if entry.state is ConnectionState.SYN_RECV]
        if not half_open:
            return False
        self._forget(min(half_open, key=lambda entry: entry.born))
        return True

    def _step(self, entry: Entry, packet: Packet, *, direction: Direction) -> None:
        """Move the state machine by a packet, keep the counts exact, and begin the timeout anew."""
        event = packet.event
        if entry.protocol is Protocol.TCP and event is not None:
            self._count(entry, -1)
            entry.state = TRANSITIONS[direction][event][entry.state]
            self._count(entry, 1)
        entry.deadline = self._now + TIMEOUTS[entry.state]

    def _entries(self) -> list[Entry]:
        return [entry for entries in self._by_client.values() for entry in entries]

    def _remember(self, entry: Entry) -> None:
        self._by_client.setdefault(entry.key, []).append(entry)
        self._held[entry.family] += 1
        self._count(entry, 1)
        self._tally(entry.service, entry.real).begin()

    def _forget(self, entry: Entry) -> None:
        entries = self._by_client[entry.key]
        entries.remove(entry)
        if not entries:
            del self._by_client[entry.key]
        self._held[entry.family] -= 1
        self._local_ports.release(entry)
        self._count(entry, -1)
        self._tally(entry.service, entry.real).end()
        installed = self._installed.get(entry.service)
        if entry.is_templated and installed is not None:
            self._templates.release(installed.service, entry.client[0], entry.real)

    def _put(self, service: Service) -> None:
        taken = [
            each for each in service.listeners if self._listeners.get(each, service.name) != service.name
        ]
        if taken:
            raise ConfigError(
                where=service.name,
                problem=f"listener {taken[0]} belongs to {self._listeners[taken[0]]}",
                fix="Remove it there first.",
            )
        scheduler = scheduler_class(service.scheduler)(flags=service.scheduler_flags)
        self.uncommon.note(service)
        self._release(service.name)
        self._listeners |= dict.fromkeys(service.listeners, service.name)
        fresh = Installed(service=service, scheduler=scheduler)
        installed = self._installed.setdefault(service.name, fresh)
        if not (scheduler.outlives_changes and installed.scheduler.name == scheduler.name):
            installed.scheduler = scheduler
        installed.service = service
        self._ways.note(service)
        for (name, _), tally in self._tallies.items():
            if name == service.name:
                tally.remove(service)
        for each in service.destinations:
            self._tally(service.name, each.endpoint).install(each, service)

    def _remove(self, name: str) -> None:
        """Take a service and its totals away; its connections stay, and stay counted."""
        self._release(name)
        gone = self._installed.pop(name, None)
        for (service, endpoint), tally in self._tallies.items():
            if service == name and gone is not None:
                tally.remove(gone.service)
                self._tallies[service, endpoint] = tally.emptied()

    def _release(self, name: str) -> None:
        self._listeners = {each: owner for each, owner in self._listeners.items() if owner != name}

    def _service_at(self, protocol: Protocol, endpoint: Endpoint) -> Installed | None:
        name = self._listeners.get(Listener(address=endpoint[0], port=endpoint[1], protocol=protocol))
        return None if name is None else self._installed[name]

    def _tally(self, service: str, endpoint: Endpoint) -> Tally:
        return self._tallies.setdefault((service, endpoint), Tally())

    def _count(self, entry: Entry, amount: int) -> None:
        tally = self._tally(entry.service, entry.real)
        if entry.state in ACTIVE_STATES:
            tally.active += amount
        else:
            tally.inactive += amount

    def _drop(self, service: str, reason: Drop) -> Verdict:
        installed = self._installed.get(service)
        (installed.drops if installed else self._drops)[reason] += 1
        return drop(reason)
