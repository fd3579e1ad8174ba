"""From a checked document to the model, and the digest of its meaning."""

import hashlib
from dataclasses import asdict, fields, replace
from ipaddress import ip_interface
from typing import Any

import msgspec

from shoal.config import notation
from shoal.config.admission_rules import admission
from shoal.config.rules import PUBLIC, dead_time, gateways
from shoal.config.schema import (
    Document,
    HttpMonitorTable,
    HttpsMonitorTable,
    MonitorTable,
    ProgramMonitorTable,
    SendExpectMonitorTable,
    VirtualServerTable,
)
from shoal.config.server_rules import real_servers
from shoal.config.timeout_tables import TimeoutsTable
from shoal.model import (
    GUE_PORT,
    AddressGroup,
    AdminState,
    Cluster,
    ConnectionState,
    Encapsulation,
    FloatingAddress,
    ForwardingMethod,
    Hook,
    HttpProbe,
    Leaving,
    Monitor,
    Path,
    Persistence,
    Probe,
    ProgramProbe,
    RealServer,
    Router,
    SendExpectProbe,
    TcpProbe,
    VirtualServer,
    address_order,
    endpoint,
)
from shoal.model.states import TIMEOUTS

GROUP = "default"
THIS_ROUTER = "this"

SCTP_PREFIX = "sctp_"


def build(document: Document, *, key: bytes) -> Cluster:
    """The cluster that a document describes. The document must have passed the rules."""
    cluster = Cluster(
        name=document.cluster.name,
        serial=document.serial,
        digest=b"",
        paths=tuple(
            Path(name=name, interface=table.interface, masquerade=table.masquerade)
            for name, table in document.paths.items()
        ),
        routers=_routers(document),
        groups=(AddressGroup(name=GROUP, addresses=_floating(document)),),
        virtual_servers=tuple(_virtual_server(table) for table in document.virtual_servers),
        heartbeat_port=document.cluster.heartbeat_port,
        heartbeat_interval=document.cluster.heartbeat_interval,
        dead_time=dead_time(document.cluster),
        key=key,
        hook=Hook(document.dataplane.hook),
        fullnat_ports=notation.ports(document.dataplane.fullnat_ports),
        max_connections=document.dataplane.max_connections,
        max_connections_ipv6=document.dataplane.max_connections_ipv6,
        max_virtual_servers=document.dataplane.max_virtual_servers,
        max_real_servers=document.dataplane.max_real_servers,
        max_templates=document.dataplane.max_templates,
        max_access_entries=document.dataplane.max_access_entries,
        timeouts=_timeouts(document.timeouts),
    )
    return replace(cluster, digest=digest(cluster))


def digest(cluster: Cluster) -> bytes:
    """SHA-256 of what a configuration means: not its layout, comments or key, nor the order of named things.

    The order of real servers counts, because schedulers go by it.
    """
    meaning = asdict(replace(cluster, virtual_servers=()))
    del meaning["digest"], meaning["key"]
    for named in ("paths", "routers"):
        meaning[named] = sorted(meaning[named], key=lambda each: str(each["name"]))
    for router in meaning["routers"]:
        router["addresses"] = sorted(router["addresses"])
    for group in meaning["groups"]:
        group["addresses"] = sorted(group["addresses"], key=_floating_order)
    servers = sorted(cluster.virtual_servers, key=lambda each: each.name)
    meaning["virtual_servers"] = list(map(_virtual_server_meaning, servers))
    return hashlib.sha256(msgspec.json.encode(meaning, enc_hook=str, order="sorted")).digest()


def _virtual_server_meaning(server: VirtualServer) -> dict[str, Any]:
    """Its real servers are left to the encoder, which is many times quicker than a copy of them."""
    return {
        **_fields(server),
        "listeners": sorted(str(listener) for listener in server.listeners),
        "monitor": {**_fields(server.monitor), "kind": type(server.monitor.probe).__name__},
    }


def _fields(of: VirtualServer | Monitor) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(of)}


def _timeouts(table: TimeoutsTable) -> tuple[tuple[ConnectionState, float], ...]:
    """Of every state; those of TCP have its table's names, and those of SCTP too, behind ``sctp_``."""
    found: dict[ConnectionState, float] = {ConnectionState.UDP: table.udp}
    for state in TIMEOUTS:
        if state.value.startswith(SCTP_PREFIX):
            found[state] = getattr(table.sctp, state.value.removeprefix(SCTP_PREFIX))
        elif state is not ConnectionState.UDP:
            found[state] = getattr(table.tcp, state.value)
    return tuple((state, float(found[state])) for state in TIMEOUTS)


def _floating_order(floating: dict[str, Any]) -> tuple[str, tuple[int, int]]:
    return floating["path"], address_order(floating["address"])


def _routers(document: Document) -> tuple[Router, ...]:
    if not document.routers:
        return (Router(name=THIS_ROUTER, priority=100, addresses=()),)
    return tuple(
        Router(
            name=table.name,
            priority=table.priority,
            addresses=tuple((path, notation.address(text)) for path, text in table.addresses.items()),
            fullnat_addresses=tuple(map(notation.address, table.fullnat_addresses)),
        )
        for table in document.routers
    )


def _floating(document: Document) -> tuple[FloatingAddress, ...]:
    """Each virtual address once, in the order of the file, then the gateways."""
    virtual = dict.fromkeys(
        notation.listener(text).address
        for server in document.virtual_servers
        for text in server.listen
        if not notation.is_mark(text)
    )
    return (
        *(FloatingAddress(address=ip_interface(address), path=PUBLIC) for address in virtual),
        *(
            FloatingAddress(address=notation.gateway(text), path=path)
            for path, table in document.paths.items()
            for _, text in gateways(table)
        ),
    )


def _virtual_server(table: VirtualServerTable) -> VirtualServer:
    return VirtualServer(
        name=table.name,
        listeners=tuple(notation.listener(text) for text in table.listen if not notation.is_mark(text)),
        marks=tuple(sorted(notation.mark(text) for text in table.listen if notation.is_mark(text))),
        one_packet=table.one_packet,
        sloppy=table.sloppy,
        admission=admission(table),
        scheduler=table.scheduler,
        scheduler_flags=tuple(sorted(table.scheduler_flags)),
        method=ForwardingMethod(table.method),
        encap=Encapsulation(table.encap or Encapsulation.IPIP),
        encap_port=table.encap_port or GUE_PORT,
        mss_clamp=table.mss_clamp,
        persistence=_persistence(table),
        on_removal=Leaving.KEEP if table.on_removal == "drain" else Leaving(table.on_removal),
        on_down=Leaving(table.on_down),
        drain_timeout=table.drain_timeout,
        monitor=_monitor(table.monitor),
        real_servers=tuple(
            RealServer(
                name=each.name or endpoint(notation.address(each.address), each.port),
                address=notation.address(each.address),
                port=each.port,
                weight=each.weight,
                method=ForwardingMethod(each.method) if each.method else None,
                encap=Encapsulation(each.encap) if each.encap else None,
                encap_port=each.encap_port,
                state=AdminState(each.state),
                upper_threshold=each.upper_threshold,
                lower_threshold=each.lower_threshold,
            )
            for _, each in real_servers(table)
        ),
    )


def _persistence(table: VirtualServerTable) -> Persistence | None:
    if table.persistence is None:
        return None
    return Persistence(
        timeout=table.persistence.timeout,
        ipv4_prefix=notation.ipv4_prefix(table.persistence.ipv4_mask),
        ipv6_prefix=table.persistence.ipv6_prefix,
        expire_quiescent=table.persistence.expire_quiescent,
        expire_removed=table.persistence.expire_removed,
    )


def _monitor(table: MonitorTable) -> Monitor:
    return Monitor(
        probe=_probe(table),
        interval=table.interval,
        timeout=table.timeout,
        rise=table.rise,
        fall=table.fall,
        port=table.port,
    )


def _probe(table: MonitorTable) -> Probe:
    if isinstance(table, HttpMonitorTable | HttpsMonitorTable):
        return HttpProbe(
            path=table.path,
            host=table.host,
            tls=isinstance(table, HttpsMonitorTable),
            verify=isinstance(table, HttpsMonitorTable) and table.verify,
            statuses=tuple(notation.statuses(each) for each in table.statuses),
        )
    if isinstance(table, SendExpectMonitorTable):
        return SendExpectProbe(send=table.send.encode(), expect=table.expect.encode(), regex=table.regex)
    if isinstance(table, ProgramMonitorTable):
        return ProgramProbe(command=tuple(table.command))
    return TcpProbe()
