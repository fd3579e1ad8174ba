"""What ``lvsd`` shows: the answers of the control API as typed structs, and how they are made. Pure.

Every duration is seconds, every ``since`` and ``at`` Unix time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from shoal.dataplane.base import (
    Attachment,
    Counters,
    DataplaneState,
    DestinationCounters,
    Drop,
    ServiceCounters,
)
from shoal.ipc.messages import PeerView, RoleReport, TargetHealth
from shoal.lvsd.draining import Drain
from shoal.lvsd.journal import Entry
from shoal.lvsd.reconcile import TargetKey, target_key
from shoal.model import Cluster, Connection, RealServer, Template, VirtualServer, endpoint

NEARLY_FULL = 0.9


class ConfigView(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force. ``digest`` is hex; ``file`` the operator's file."""

    serial: int
    digest: str
    file: str


class AttachmentView(msgspec.Struct, frozen=True, kw_only=True):
    """An interface that packets are taken from, by which hook, and why that one."""

    interface: str
    hook: str
    reason: str


class DataplaneView(msgspec.Struct, frozen=True, kw_only=True):
    """The dataplane; IPv6 connections have a table of their own.

    ``drops`` counts packets by reason, those of all virtual servers included.
    """

    name: str
    attachments: tuple[AttachmentView, ...]
    connections_held: int
    connections_limit: int
    ipv6_connections_held: int
    ipv6_connections_limit: int
    local_ports_held: int
    drops: dict[str, int]


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """This router at a glance. ``alarms`` are sentences that an operator should act on; none is all well."""

    router: str
    cluster: str
    state: str
    epoch: int
    since: float
    links: dict[str, bool]
    addresses: tuple[str, ...]
    peers: tuple[PeerView, ...]
    heartbeats_rejected: dict[str, int]
    config: ConfigView
    dataplane: DataplaneView
    children: dict[str, bool]
    alarms: tuple[str, ...]


class RealServerView(msgspec.Struct, frozen=True, kw_only=True):
    """A real server: its admin state and that one's deadline (Unix time, 0: none), its health and why, its counters."""

    name: str
    address: str
    port: int
    weight: int
    method: str
    state: str
    deadline: float
    health: str
    reason: str
    since: float
    active: int
    inactive: int
    connections: int
    packets_in: int
    bytes_in: int
    packets_out: int
    bytes_out: int


class VirtualServerView(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual server. ``installed``: the dataplane has it.

    ``stateless_packets`` were balanced while the connection table was full.
    """

    name: str
    listeners: tuple[str, ...]
    scheduler: str
    scheduler_flags: tuple[str, ...]
    method: str
    installed: bool
    connections: int
    stateless_packets: int
    drops: dict[str, int]
    real_servers: tuple[RealServerView, ...]


class ServersView(msgspec.Struct, frozen=True, kw_only=True):
    """Every virtual server of the configuration."""

    virtual_servers: tuple[VirtualServerView, ...]


class ConnectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A connection; addresses are ``address:port``, ``expires_in`` is seconds."""

    protocol: str
    client: str
    virtual: str
    real: str
    state: str
    expires_in: float
    virtual_server: str


class TemplateView(msgspec.Struct, frozen=True, kw_only=True):
    """Persistence: new connections of ``network`` go to ``real``, for ``expires_in`` seconds or while it has any."""

    virtual_server: str
    network: str
    real: str
    expires_in: float
    connections: int


class TemplatesView(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the persistence templates in force, in no order."""

    templates: tuple[TemplateView, ...]


class ConnectionsView(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the connections held, in no order. ``held`` and ``limit`` are of both families together."""

    connections: tuple[ConnectionView, ...]
    held: int
    limit: int


class EventsView(msgspec.Struct, frozen=True, kw_only=True):
    """Journal entries, oldest first. ``next`` is what to pass as ``after`` to go on reading."""

    events: tuple[Entry, ...]
    next: int


class FailoverView(msgspec.Struct, frozen=True, kw_only=True):
    """A hand-over was begun."""

    accepted: bool


class ReloadView(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration that is in force after a reload."""

    serial: int
    digest: str
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that the answers are made from, at one moment. ``trouble`` are alarms of the shell's own."""

    cluster: Cluster
    router: str
    file: str
    role: RoleReport | None
    children: Mapping[str, bool]
    health: Mapping[TargetKey, TargetHealth]
    dataplane: str
    attachments: tuple[Attachment, ...]
    installed: DataplaneState
    counters: Counters
    drains: Mapping[TargetKey, Drain] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()


def status(now: Snapshot) -> StatusView:
    """The router at a glance. While ``pulse`` has not spoken, the state is ``init``."""
    role = now.role
    return StatusView(
        router=now.router,
        cluster=now.cluster.name,
        state="init" if role is None else role.state,
        epoch=0 if role is None else role.epoch,
        since=0.0 if role is None else role.since,
        links={} if role is None else role.links,
        addresses=() if role is None else role.addresses,
        peers=() if role is None else role.peers,
        heartbeats_rejected={} if role is None else role.rejected,
        config=ConfigView(serial=now.cluster.serial, digest=now.cluster.digest.hex(), file=now.file),
        dataplane=_dataplane(now),
        children=dict(now.children),
        alarms=alarms(now),
    )


def alarms(now: Snapshot) -> tuple[str, ...]:
    """What an operator should act on, most serious first."""
    return (*_dead_servers(now), *now.trouble, *_silent_children(now), *_role_alarms(now), *_full_table(now))


def servers(now: Snapshot) -> ServersView:
    """Every virtual server of the configuration, with health and counters."""
    return ServersView(
        virtual_servers=tuple(_virtual_server(now, each) for each in now.cluster.virtual_servers)
    )


def connection(entry: Connection) -> ConnectionView:
    """One connection, for people."""
    return ConnectionView(
        protocol=entry.protocol,
        client=endpoint(*entry.client),
        virtual=endpoint(*entry.virtual),
        real=endpoint(*entry.real),
        state=entry.state,
        expires_in=round(entry.expires_in, 3),
        virtual_server=entry.virtual_server,
    )


def template(entry: Template) -> TemplateView:
    """One persistence template, for people."""
    return TemplateView(
        virtual_server=entry.virtual_server,
        network=str(entry.network),
        real=endpoint(*entry.real),
        expires_in=round(entry.expires_in, 3),
        connections=entry.connections,
    )


def _dataplane(now: Snapshot) -> DataplaneView:
    drops = dict(now.counters.drops)
    for service in now.counters.services.values():
        for reason, count in service.drops.items():
            drops[reason] = drops.get(reason, 0) + count
    return DataplaneView(
        name=now.dataplane,
        attachments=tuple(
            AttachmentView(interface=each.interface, hook=each.hook, reason=each.reason)
            for each in now.attachments
        ),
        connections_held=now.counters.connections_held,
        connections_limit=now.counters.connections_limit,
        ipv6_connections_held=now.counters.ipv6_connections_held,
        ipv6_connections_limit=now.counters.ipv6_connections_limit,
        local_ports_held=now.counters.local_ports_held,
        drops=_named(drops),
    )


def _virtual_server(now: Snapshot, virtual_server: VirtualServer) -> VirtualServerView:
    counters = now.counters.services.get(virtual_server.name, ServiceCounters())
    return VirtualServerView(
        name=virtual_server.name,
        listeners=virtual_server.listens_to,
        scheduler=virtual_server.scheduler,
        scheduler_flags=virtual_server.scheduler_flags,
        method=virtual_server.method,
        installed=virtual_server.name in now.installed.services,
        connections=counters.connections,
        stateless_packets=counters.stateless_packets,
        drops=_named(counters.drops),
        real_servers=tuple(
            _real_server(
                each,
                method=virtual_server.method_of(each),
                health=now.health.get(target_key(virtual_server, each)),
                drain=now.drains.get(target_key(virtual_server, each)),
                counters=counters.destinations.get((each.address, each.port), DestinationCounters()),
            )
            for each in virtual_server.real_servers
        ),
    )


def _real_server(
    real_server: RealServer,
    *,
    method: str,
    health: TargetHealth | None,
    drain: Drain | None,
    counters: DestinationCounters,
) -> RealServerView:
    return RealServerView(
        name=real_server.name,
        address=str(real_server.address),
        port=real_server.port,
        weight=real_server.weight,
        method=method,
        state=str(drain.state if drain else real_server.state),
        deadline=drain.deadline if drain else 0.0,
        health="unknown" if health is None else health.health,
        reason="not checked yet" if health is None else health.reason,
        since=0.0 if health is None else health.since,
        active=counters.active,
        inactive=counters.inactive,
        connections=counters.connections,
        packets_in=counters.packets_in,
        bytes_in=counters.bytes_in,
        packets_out=counters.packets_out,
        bytes_out=counters.bytes_out,
    )


def _named(drops: Mapping[Drop, int]) -> dict[str, int]:
    return {str(reason): count for reason, count in drops.items() if count}


def _dead_servers(now: Snapshot) -> list[str]:
    return [
        f"no real server of {virtual_server.name} is up"
        for virtual_server in now.cluster.virtual_servers
        if not any(
            (target := now.health.get(target_key(virtual_server, each))) is not None and target.health == "up"
            for each in virtual_server.real_servers
        )
    ]


def _silent_children(now: Snapshot) -> list[str]:
    return [f"{child} is not connected" for child, connected in now.children.items() if not connected]


def _role_alarms(now: Snapshot) -> list[str]:
    if now.role is None:
        return []
    found = ["this router is in fault"] if now.role.state == "fault" else []
    found += [f"the link of path {path} is down" for path, up in now.role.links.items() if not up]
    for peer in now.role.peers:
        found += _peer_alarms(now, peer)
    return found


def _peer_alarms(now: Snapshot, peer: PeerView) -> list[str]:
    """A peer that was never heard has no digest; a heartbeat carries only the beginning of one."""
    if not peer.paths_heard:
        return [f"peer {peer.name} is silent on every path"]
    found = [
        f"peer {peer.name} is silent on path {path.name}"
        for path in now.cluster.paths
        if path.name not in peer.paths_heard and _shared(now, peer, path.name)
    ]
    if not now.cluster.digest.hex().startswith(peer.config_digest):
        serials = f"serial {peer.config_serial}, here {now.cluster.serial}"
        found.append(f"peer {peer.name} has another configuration ({serials})")
    return found


def _shared(now: Snapshot, peer: PeerView, path: str) -> bool:
    """Whether both this router and the peer have an address on the path."""
    routers = [now.cluster.router(name) for name in (now.router, peer.name)]
    return all(router is not None and router.address_on(path) is not None for router in routers)


def _full_table(now: Snapshot) -> list[str]:
    counters = now.counters
    tables = (
        ("connection table", counters.connections_held, counters.connections_limit),
        ("IPv6 connection table", counters.ipv6_connections_held, counters.ipv6_connections_limit),
    )
    return [
        f"the {table} holds {held} of {limit}"
        for table, held, limit in tables
        if limit and held >= NEARLY_FULL * limit
    ]
