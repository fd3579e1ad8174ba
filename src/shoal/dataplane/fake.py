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
    Drop,
    PutService,
    RemoveService,
    Service,
    SetTimeouts,
    Step,
)
from shoal.dataplane.fake_admission import Admissions
from shoal.dataplane.fake_choices import Choices
from shoal.dataplane.fake_entries import Chosen, Client, Endpoint, Entry, Installed
from shoal.dataplane.fake_listeners import Listeners
from shoal.dataplane.fake_persistence import Templates
from shoal.dataplane.fake_rewrite import towards_client, towards_server
from shoal.dataplane.fake_stateless import StatelessPackets
from shoal.dataplane.fake_table import ConnectionTable
from shoal.dataplane.fake_uncommon import UncommonPackets
from shoal.dataplane.fake_ways import Ways
from shoal.dataplane.packet import PASS, Packet, TcpFlags, Verdict, drop, forward
from shoal.dataplane.tally import Tally
from shoal.model import Connection, ConnectionState, ForwardingMethod, LocalPool, Protocol, Template
from shoal.model.connection import Direction
from shoal.model.sctp_states import SctpChunk
from shoal.model.states import ACTIVE_STATES, HALF_OPEN_STATES, TIMEOUTS, next_state
from shoal.schedulers import scheduler_class
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
        self._attachments = attachments
        self._now = 0.0
        self._born = 0
        self._installed: dict[str, Installed] = {}
        self._listeners = Listeners()
        self._admissions = Admissions()
        self._timeouts = dict(TIMEOUTS)
        limits = {4: max_connections, 6: max_connections_ipv6}
        self._table = ConnectionTable(limits, ended=self._ended)
        self._drops: Counter[Drop] = Counter()
        self._tallies: dict[tuple[str, Endpoint], Tally] = {}
        self._ways = Ways()
        self._templates = Templates(max_templates)
        self._choices = Choices(
            templates=self._templates, tally=self._tally, chance=chance or chances().__next__
        )
        self._stateless = StatelessPackets(
            choices=self._choices,
            installed=self._installed,
            listeners=lambda: self._listeners,
            timeouts=lambda: self._timeouts,
        )
        self.uncommon = UncommonPackets(
            judge=self._judge, find=self._find, drop=self._drop, tally=self._tally, ways=self._ways
        )

    def actual(self) -> DataplaneState:
        """What is installed."""
        services = {name: each.service for name, each in self._installed.items()}
        return DataplaneState(services=services, timeouts=dict(self._timeouts))

    def apply(self, steps: Sequence[Step]) -> None:
        """Carry out the steps. Raises ConfigError at one that takes another service's listener."""
        for step in steps:
            if isinstance(step, PutService):
                self._put(step.service)
            elif isinstance(step, RemoveService):
                self._remove(step.name)
            elif isinstance(step, SetTimeouts):
                self._timeouts = dict(step.timeouts)

    def use_local(self, pool: LocalPool) -> None:
        """Take the local ends of fullnat connections from this pool from now on; without one there are none."""
        self._table.local_ports.pool = pool

    def attachments(self) -> tuple[Attachment, ...]:
        """The interfaces it was made with."""
        return self._attachments

    def connections(self, *, limit: int) -> Iterable[Connection]:
        """Live connections as of the last packet or ``advance``."""
        live = (entry for entry in self._table.entries() if entry.deadline > self._now)
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
            connections_held=self._table.held[4],
            connections_limit=self._table.limits[4],
            ipv6_connections_held=self._table.held[6],
            ipv6_connections_limit=self._table.limits[6],
            local_ports_held=self._table.local_ports.held,
        )

    def overloaded(self) -> bool:
        """Whether the table was full a moment ago."""
        return self._stateless.overloaded(now=self._now)

    def sweep(self) -> int:
        """Remove every expired connection, and end the drains that are over."""
        self.uncommon.sweep(now=self._now)
        expired = self._table.sweep(now=self._now)
        self._templates.sweep(now=self._now)
        for tally in self._tallies.values():
            tally.end_drain(now=self._now)
        return expired

    def close(self) -> None:
        """Nothing to let go of."""

    def remove(self) -> None:
        """Forget services and connections."""
        self._installed.clear()
        self._listeners = Listeners()
        self._table.clear()
        self._tallies.clear()
        self._drops.clear()
        self._templates.clear()
        self._stateless.clear()

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
        if entry is not None or self._service_at(packet) is not None:
            return self._to_real_server(packet, entry)
        entry = self._find((packet.protocol, *destination), real=source) or self._stateless.reply(
            packet, now=self._now
        )
        return PASS if entry is None else self._to_client(packet, entry)

    def _to_real_server(self, packet: Packet, entry: Entry | None) -> Verdict:
        """A packet of a client, or one that wants to be."""
        assert packet.protocol is not None
        listener = self._service_at(packet)
        name = entry.service if entry else listener.service.name if listener else ""
        if entry is None and not self._stateless.may_open(packet, listener, now=self._now):
            return PASS
        ends = self._end(entry, packet) if entry else False
        if isinstance(ends, Verdict):
            return ends
        if packet.ttl <= 1 and not (entry and entry.method is ForwardingMethod.LOCAL):
            return self._drop(name, Drop.TTL_EXCEEDED)
        if entry is None or ends or self._must_be_scheduled_anew(packet, entry):
            scheduled = self._schedule(packet, listener, replacing=entry)
            if isinstance(scheduled, Verdict):
                return scheduled
            entry = scheduled
        key = entry.service, entry.destination
        is_local = entry.method is ForwardingMethod.LOCAL
        if not is_local and not self._ways.fits(packet, key, entry.method):
            return self._drop(entry.service, Drop.PACKET_TOO_BIG)
        self._tally(*key).add(packet.length, inwards=True)
        packet = self._ways.clamped(packet, key, entry.method)
        if is_local or entry.method in (ForwardingMethod.DR, ForwardingMethod.TUNNEL):
            self._step(entry, packet, direction=Direction.INPUT_ONLY)
            return PASS if is_local else forward(self._ways.onward(packet, key, entry.method))
        self._step(entry, packet, direction=Direction.INPUT)
        return forward(towards_server(packet, entry))

    def _end(self, entry: Entry, packet: Packet) -> Verdict | bool:
        """What becomes of a packet whose connection is ended; True when it goes on with another real server."""
        tally = self._tally(entry.service, entry.destination)
        if not tally.ends(packet):
            return False
        if not tally.moves:
            last = replace(packet, flags=TcpFlags.RST, chunk=SctpChunk.ABORT)
            self._step(entry, last, direction=Direction.INPUT)
            return self._drop(entry.service, Drop.REMOVED)
        if self._service_at(packet) is None:
            self._table.forget(entry)
            return PASS
        return True

    def _to_client(self, packet: Packet, entry: Entry) -> Verdict:
        """A reply of a real server."""
        if packet.ttl <= 1:
            return self._drop(entry.service, Drop.TTL_EXCEEDED)
        if packet.length > self._ways.mtu:
            return self._drop(entry.service, Drop.PACKET_TOO_BIG)
        self._tally(entry.service, entry.destination).add(packet.length, inwards=False)
        self._step(entry, packet, direction=Direction.OUTPUT)
        packet = self._ways.clamped(packet, (entry.service, entry.real), entry.method)
        return forward(towards_client(packet, entry))

    def _find(
        self, client: Client, *, virtual: Endpoint | None = None, real: Endpoint | None = None
    ) -> Entry | None:
        return self._table.find(client, now=self._now, virtual=virtual, real=real)

    def _must_be_scheduled_anew(self, packet: Packet, entry: Entry) -> bool:
        """A client's port that is used again, or a flow that would be lost on a real server that is down."""
        listener = self._service_at(packet)
        if listener is None or not packet.opens:
            return False
        if entry.is_closed or self._tally(entry.service, entry.destination).is_cut:
            return True
        unanswered = entry.state is ConnectionState.UDP or entry.state in HALF_OPEN_STATES
        return unanswered and not any(
            each.endpoint == entry.destination and each.available for each in listener.service.destinations
        )

    def _schedule(
        self, packet: Packet, listener: Installed | None, *, replacing: Entry | None
    ) -> Entry | Verdict:
        """A new connection on the destination that the scheduler chooses, or why there is none."""
        assert listener is not None
        assert packet.protocol is not None
        name = listener.service.name
        if replacing is not None:
            self._table.forget(replacing)
        if (refusal := self._admissions.judge(listener.service, packet.source, now=self._now)) is not None:
            return self._drop(name, refusal)
        chosen = self._choose_for(listener, packet)
        if chosen is None:
            return self._drop(name, Drop.NO_REAL_SERVER)
        self._born += 1
        entry = Entry.of(packet, name, chosen, born=self._born)
        if self._is_alone(listener.service, entry):
            self._forget_template(listener, entry)
            entry.loose = True
            self._tally(name, entry.destination).connections += 1
            listener.connections += 1
            return entry
        taken = self._find(entry.key, real=entry.real) is not None
        if taken and entry.method is ForwardingMethod.NAT:
            return self._give_up(listener, entry, Drop.REPLY_TUPLE_IN_USE)
        limit = listener.service.admission.connection_limit
        if limit and self._table.held_by[name] >= limit:
            return self._give_up(listener, entry, Drop.CONNECTION_LIMIT)
        if not self._table.make_room(packet.source.version, now=self._now):
            self._forget_template(listener, entry)
            loose = self._stateless.serve(packet, listener, chosen, now=self._now)
            return self._drop(name, loose) if isinstance(loose, Drop) else loose
        if entry.method is ForwardingMethod.FULLNAT and not self._table.local_ports.take(entry):
            return self._give_up(listener, entry, Drop.NO_LOCAL_PORT)
        self._remember(entry)
        listener.connections += 1
        return entry

    @staticmethod
    def _is_alone(service: Service, entry: Entry) -> bool:
        """Whether it is a datagram that is scheduled by itself. Under fullnat replies need an entry."""
        keeps_entry = entry.method in (ForwardingMethod.FULLNAT, ForwardingMethod.LOCAL)
        return service.one_packet and entry.protocol is Protocol.UDP and not keeps_entry

    def _forget_template(self, installed: Installed, entry: Entry) -> None:
        """A template counts no connection that has no entry."""
        if entry.is_templated:
            self._templates.release(installed.service, entry.client[0], entry.destination)
            entry.is_templated = False

    def _give_up(self, installed: Installed, entry: Entry, reason: Drop) -> Verdict:
        """A connection that was given a real server does not come about."""
        self._forget_template(installed, entry)
        return self._drop(installed.service.name, reason)

    def _choose_for(self, installed: Installed, packet: Packet) -> Chosen | None:
        """A real server. While connections may be alive without an entry, the one it would get without one."""
        is_begin = packet.opens and packet.protocol is not Protocol.UDP
        state = ConnectionState.SYN_RECV if is_begin else ConnectionState.ESTABLISHED
        loosely = self._stateless.was_overloaded(packet.source.version, state, now=self._now)
        return self._choices.persistently(installed, packet, loosely=loosely, now=self._now)

    def _step(self, entry: Entry, packet: Packet, *, direction: Direction) -> None:
        """Move the state machine by a packet, keep the counts exact, and begin the timeout anew."""
        if entry.loose:
            return
        event = packet.event
        if event is not None and entry.protocol is not Protocol.UDP:
            self._count(entry, -1)
            entry.state = next_state(entry.state, event, direction)
            self._count(entry, 1)
        entry.deadline = self._now + self._timeouts[entry.state]

    def _remember(self, entry: Entry) -> None:
        self._table.remember(entry)
        self._count(entry, 1)
        self._tally(entry.service, entry.destination).begin()

    def _ended(self, entry: Entry) -> None:
        self._count(entry, -1)
        self._tally(entry.service, entry.destination).end()
        installed = self._installed.get(entry.service)
        if entry.is_templated and installed is not None:
            self._templates.release(installed.service, entry.client[0], entry.destination)

    def _put(self, service: Service) -> None:
        scheduler = scheduler_class(service.scheduler)(flags=service.scheduler_flags)
        self.uncommon.note(service)
        self._listeners.put(service)
        fresh = Installed(service=service, scheduler=scheduler)
        installed = self._installed.setdefault(service.name, fresh)
        if not (scheduler.outlives_changes and installed.scheduler.name == scheduler.name):
            installed.scheduler = scheduler
        installed.service = service
        self._ways.note(service)
        for (name, _), tally in self._tallies.items():
            if name == service.name:
                tally.remove(service, now=self._now)
        for each in service.destinations:
            self._tally(service.name, each.endpoint).install(each, service)

    def _remove(self, name: str) -> None:
        """Take a service and its totals away; its connections stay, and stay counted."""
        self._listeners.release(name)
        gone = self._installed.pop(name, None)
        for (service, endpoint), tally in self._tallies.items():
            if service == name and gone is not None:
                tally.remove(gone.service, now=self._now)
                self._tallies[service, endpoint] = tally.emptied()

    def _service_at(self, packet: Packet) -> Installed | None:
        """Whose a packet of a client is."""
        assert packet.protocol is not None
        endpoint = packet.destination, packet.destination_port
        name = self._listeners.find(packet.protocol, endpoint, mark=packet.mark)
        return None if name is None else self._installed[name]

    def _tally(self, service: str, endpoint: Endpoint) -> Tally:
        return self._tallies.setdefault((service, endpoint), Tally())

    def _count(self, entry: Entry, amount: int) -> None:
        tally = self._tally(entry.service, entry.destination)
        if entry.state in ACTIVE_STATES:
            tally.active += amount
        else:
            tally.inactive += amount

    def _drop(self, service: str, reason: Drop) -> Verdict:
        installed = self._installed.get(service)
        (installed.drops if installed else self._drops)[reason] += 1
        return drop(reason)
