"""What the election's commands act on: sockets, addresses, the lease, and the line to ``lvsd``."""

import secrets

from shoal.errors import KernelError
from shoal.ipc import messages
from shoal.model import Address, Cluster
from shoal.pulse import events
from shoal.pulse.addresses import Applied, FloatingAddresses
from shoal.pulse.exchange import Exchange
from shoal.pulse.heartbeat import Codec, HeartbeatError, Received, Rejection
from shoal.pulse.liaison import Liaison
from shoal.pulse.options import Options
from shoal.pulse.ownership import LeaseOpener, Ownership
from shoal.pulse.ports import Endpoint, HeartbeatPorts
from shoal.pulse.roles import RejectionLog
from shoal.pulse.topology import topology_of
from shoal.system.clock import boottime, unix_time

SHOWN = 5  # addresses named in a record; its count says how many there were


class Station:
    """Executes commands. The configuration in force is ``topology``."""

    def __init__(self, options: Options, cluster: Cluster, *, open_lease: LeaseOpener) -> None:
        self.topology = topology_of(cluster, options.router)
        self.addresses = FloatingAddresses(cluster)
        self.ownership = Ownership(options.places.pins, open_lease)
        self.ports = HeartbeatPorts()
        self.liaison = Liaison(options.places.ipc_socket)
        self.exchange = self._new_exchange()
        self._router = options.router
        self._rejections = RejectionLog()
        self._path_problems: tuple[str, ...] = ()
        self.ownership.set_addresses(self.addresses.all_addresses())

    def execute(self, command: events.Command) -> None:
        """Do what the election commands."""
        match command:
            case events.SendHeartbeat():
                self._send(command)
            case events.RenewLease():
                self.ownership.renew(command.until)
            case events.BeginHandover():
                self.ownership.begin_handover(command.until)
            case events.AcquireAddresses():
                self.acquire("this router is active")
            case events.ReleaseAddresses():
                self._release()
            case events.Announce():
                self._announce(command)
            case events.Record():
                self.record(command.event, command.cause, **dict(command.fields))
            case events.AnswerFailover():
                self._answer(command)
            case events.Stop():
                pass  # the loop ends with the election

    def _release(self) -> None:
        """Take the addresses away. With none left there is nothing to be silent about: a lease that is over would
        only count as a drop every ARP request for them that passes by.
        """
        self._note_applied(self.addresses.release(), "this router is not active")
        if not self.addresses.any_left():
            self.ownership.renew(None)

    def acquire(self, cause: str) -> tuple[str, ...]:
        """Configure the floating addresses that are missing; which these were."""
        applied = self.addresses.acquire()
        self._note_applied(applied, cause)
        return applied.added

    def believe(self, datagram: bytes, *, path: str, address: Address) -> tuple[str, Received] | None:
        """The peer that a datagram is from and what it says; None, counted and recorded, when it is refused."""
        peer = self.topology.peer_at(path, address)
        if peer is None:
            self.exchange.count_rejected(Rejection.UNKNOWN_SENDER)
            self._note_rejection(Rejection.UNKNOWN_SENDER, f"{address} is no router of this cluster", path)
            return None
        try:
            return peer, self.exchange.incoming(datagram, peer=peer, path=path, now=boottime())
        except HeartbeatError as error:
            self._note_rejection(error.reason, f"{error.problem}, from {address}", path)
            return None

    def reconfigure(self, cluster: Cluster) -> None:
        """Put another configuration in force. ConfigError, and no change, when this router is not in it."""
        topology = topology_of(cluster, self._router)
        before, self.topology = self.topology, topology
        self.addresses.configure(cluster)
        self.ownership.set_addresses(self.addresses.all_addresses())
        if topology.authenticates_like != before.authenticates_like:
            self.exchange = self._new_exchange()
        self.open_ports()
        self.record("config.loaded", "", serial=cluster.serial, digest=cluster.digest.hex())

    def open_ports(self) -> None:
        """Have a socket on each path that this router has an address on and whose interface exists."""
        cluster, router = self.topology.cluster, self.topology.router
        endpoints: list[Endpoint] = []
        problems: list[str] = []
        for path in cluster.paths if self.topology.settings.peers else ():
            link, address, port = (
                self.addresses.link(path.name),
                router.address_on(path.name),
                cluster.heartbeat_port,
            )
            if link is None:
                problems.append(f"path {path.name}: there is no interface {path.interface}")
            elif address is not None:
                endpoint = Endpoint(
                    path=path.name, interface=link.name, index=link.index, address=address, port=port
                )
                endpoints.append(endpoint)
        problems += self.ports.open(tuple(endpoints))
        for problem in problems:
            if problem not in self._path_problems:
                self.record("path.refused", problem)
        self._path_problems = tuple(problems)

    def record(self, event: str, cause: str, **fields: str | int | float | bool) -> None:
        """Write a line for the journal."""
        self.liaison.record(
            messages.Record(at=unix_time(), source="pulse", event=event, cause=cause, fields=fields)
        )

    def close(self) -> None:
        """Close everything; addresses and lease stay as they are."""
        self.ports.close()
        self.addresses.close()
        self.ownership.close()

    def _send(self, command: events.SendHeartbeat) -> None:
        now = boottime()
        for peer in command.peers:
            for path in command.paths:
                address = self.topology.addresses.get((peer, path))
                if address is not None:
                    datagram = self.exchange.outgoing(
                        command.report, peer=peer, path=path, now=now, answer=command.answer
                    )
                    self.ports.send(path, address, datagram)

    def _announce(self, command: events.Announce) -> None:
        try:
            frames = self.addresses.announce()
        except KernelError as error:
            self.record("announce.refused", str(error))
            return
        if not command.refresh:
            self.record("announce.sent", self.addresses.announced_by, frames=frames)

    def _answer(self, command: events.AnswerFailover) -> None:
        self.liaison.reply(
            messages.FailoverReply(
                id=command.id, accepted=command.accepted, problem=command.problem, fix=command.fix
            )
        )

    def _note_applied(self, applied: Applied, cause: str) -> None:
        changes = {
            "address.added": applied.added,
            "address.removed": applied.removed,
            "address.foreign": applied.foreign,
        }
        for event, which in changes.items():
            if which:
                named = ", ".join(which[:SHOWN]) + (", …" if len(which) > SHOWN else "")
                self.record(event, cause, addresses=named, count=len(which))
        for error in applied.errors[:SHOWN]:
            self.record("address.refused", str(error))

    def _note_rejection(self, reason: Rejection, problem: str, path: str) -> None:
        if self._rejections.due(reason, boottime()):
            count = self.exchange.rejected.get(reason, 0)
            self.record("heartbeat.rejected", problem, reason=str(reason), path=path, count=count)

    def _new_exchange(self) -> Exchange:
        cluster, settings = self.topology.cluster, self.topology.settings
        return Exchange(
            name=settings.name,
            session=secrets.randbits(64) or 1,
            codec=Codec(cluster=cluster.name, key=cluster.key, paths=settings.paths),
            peers=tuple(name for name, _ in settings.peers),
            paths=settings.paths,
            dead_time=settings.dead_time,
        )
