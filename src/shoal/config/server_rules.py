"""What virtual servers, their real servers and their monitors must keep together. Pure."""

from collections.abc import Mapping

from shoal.config import listening_rules as listening
from shoal.config import notation
from shoal.config.admission_rules import check_admissions
from shoal.config.findings import Findings
from shoal.config.persistence_rules import check_persistence, check_thresholds
from shoal.config.schema import (
    Document,
    HttpMonitorTable,
    HttpsMonitorTable,
    MonitorTable,
    ProgramMonitorTable,
    RealServerTable,
    SendExpectMonitorTable,
    VirtualServerTable,
)
from shoal.config.tables import TablePath
from shoal.errors import ConfigError
from shoal.model import Address, Listener, endpoint

MAX_FLOATING = 1000
"""Floating addresses of a cluster; as many as the dataplane's ownership lease names (``system/lease.py``)."""

MAX_REAL_SERVERS = 1024
"""Real servers of one virtual server; ``SHOAL_MAX_PER_SERVICE`` in ``bpf/abi.h``."""


ONE_FAMILY = ("nat", "dr", "fullnat", "local")
"""The methods by which a packet stays in its family."""

REWRITING = ("nat", "fullnat")
"""The methods that can change a packet's port."""

SCHEDULER_FLAGS = {"sh": ("sh-fallback", "sh-port"), "mh": ("mh-fallback", "mh-port")}
"""The flags that a scheduler takes; the same as ``known_flags`` in ``shoal.schedulers``."""


def real_servers(server: VirtualServerTable) -> list[tuple[TablePath, RealServerTable]]:
    """Every real server with its place; the short form as a table (empty when it cannot be read)."""
    found = []
    for index, each in enumerate(server.real_servers):
        if isinstance(each, str):
            try:
                address, port = notation.endpoint(each)
            except ConfigError:
                continue
            each = RealServerTable(address=str(address), port=port)
        found.append(((*server.at, "real_servers", index), each))
    return found


def check_virtual_servers(
    document: Document,
    findings: Findings,
    *,
    fixed: Mapping[Address, tuple[str, str]],
    gateways: Mapping[Address, str],
) -> None:
    """Report every rule that a virtual server breaks. ``fixed`` and ``gateways`` are already taken."""
    taken = {address: f"the fixed address of router {name}" for address, (name, _) in fixed.items()}
    taken |= {address: f"the gateway of path {path}" for address, path in gateways.items()}
    listeners = _check_listeners(document, findings, taken=taken)
    virtual = {listener.address for listener in listeners}
    if len(virtual) + len(gateways) > MAX_FLOATING:
        findings.report(
            ("virtual_servers",),
            problem=f"{len(virtual) + len(gateways)} floating addresses are more than {MAX_FLOATING}",
            fix="Let virtual servers share addresses, on different ports.",
        )
    listening.check_marks(document, findings)
    listening.check_ranges(document, findings)
    check_admissions(document, findings)
    _check_room(document, findings)
    _check_names(document, findings)
    for server in document.virtual_servers:
        _check_scheduler_flags(server, findings)
        _check_real_servers(server, findings, virtual=virtual)
        listening.check_mapping(server, findings, real_servers=real_servers(server))
        listening.check_sctp_ports(server, findings, real_servers=real_servers(server))
        listening.check_probed_port(server, findings, real_servers=real_servers(server))
        listening.check_one_packet(server, findings)
        _check_unchanged_ports(server, findings)
        _check_family(server, findings)
        check_persistence(server, findings)
        check_thresholds(server, findings)
        _check_monitor(server.monitor, findings)
    placed = [real_servers(server) for server in document.virtual_servers]
    listening.check_one_packet_replies(document, findings, placed=placed)


def _check_room(document: Document, findings: Findings) -> None:
    """The dataplane's limits, which are the operator's to raise."""
    servers = document.virtual_servers
    real = sum(len(server.real_servers) for server in servers)
    for key, limit, count, noun in (
        ("max_virtual_servers", document.dataplane.max_virtual_servers, len(servers), "virtual"),
        ("max_real_servers", document.dataplane.max_real_servers, real, "real"),
    ):
        if count > limit:
            problem = f"{count} {noun} servers are more than {limit}"
            findings.report(("dataplane", key), problem=problem, fix=f"Set {key} = {count} or more.")


def _check_names(document: Document, findings: Findings) -> None:
    names: dict[str, TablePath] = {}
    for server in document.virtual_servers:
        at = (*server.at, "name")
        findings.read(at, notation.name, of=server.name)
        if names.setdefault(server.name, at) != at:
            problem = f"a second virtual server is called {server.name}"
            findings.report(at, problem=problem, fix="Give each its own name.")


def _check_listeners(
    document: Document, findings: Findings, *, taken: Mapping[Address, str]
) -> dict[Listener, str]:
    listeners: dict[Listener, str] = {}
    for server in document.virtual_servers:
        at = (*server.at, "listen")
        if not server.listen:
            findings.report(at, problem="there is no listener", fix='Add one, such as "192.0.2.10:80/tcp".')
        for place, found in listening.listeners_of(server, findings):
            if found.address in taken:
                findings.report(
                    place,
                    problem=f"{found.address} is {taken[found.address]}, so it cannot be a virtual address",
                    fix="Use an address of the public network that no machine has.",
                )
            if found in listeners:
                findings.report(
                    place,
                    problem=f"{found} is already served by {listeners[found] or 'another virtual server'}",
                    fix="Remove one of the two, or use another address, port or protocol.",
                )
            listeners.setdefault(found, server.name)
    return listeners


def _check_scheduler_flags(server: VirtualServerTable, findings: Findings) -> None:
    known = SCHEDULER_FLAGS.get(server.scheduler, ())
    fix = f"Use {' or '.join(known)}." if known else "Remove it; only sh and mh have flags."
    for index, flag in enumerate(server.scheduler_flags):
        at = (*server.at, "scheduler_flags", index)
        if flag not in known:
            findings.report(
                at,
                problem=f"the scheduler {server.scheduler} has no flag {flag!r}",
                fix=fix,
                needs=[(*server.at, "scheduler")],
            )
        elif flag in server.scheduler_flags[:index]:
            findings.report(at, problem=f"{flag} is given twice", fix="Remove one of the two.")


def _check_real_servers(server: VirtualServerTable, findings: Findings, *, virtual: set[Address]) -> None:
    at = (*server.at, "real_servers")
    if not server.real_servers:
        findings.report(at, problem="there is no real server", fix='Add one, such as "10.0.1.21:80".')
    for index, each in enumerate(server.real_servers):
        if isinstance(each, str):
            findings.read((*at, index), notation.endpoint, of=each)
        else:
            findings.read((*at, index, "address"), notation.address, of=each.address)
            if each.name:
                findings.read((*at, index, "name"), notation.name, of=each.name)
    if len(server.real_servers) > MAX_REAL_SERVERS:
        problem = f"{len(server.real_servers)} real servers are more than {MAX_REAL_SERVERS}"
        findings.report(at, problem=problem, fix="Split the virtual server.")
    _check_distinct(server, findings, virtual=virtual)


def _check_distinct(server: VirtualServerTable, findings: Findings, *, virtual: set[Address]) -> None:
    endpoints: set[str] = set()
    names: set[str] = set()
    for place, each in real_servers(server):
        if not findings.is_sound(place):
            continue
        address = notation.address(each.address)
        if address in virtual:
            problem = f"{address} is a virtual address, so packets would come back to the router"
            findings.report(place, problem=problem, fix="Use the real server's own address.")
        shown = endpoint(address, each.port)
        if shown in endpoints:
            problem = f"{shown} is already a real server of {server.name}"
            findings.report(
                place, problem=problem, fix="Remove one of the two; use weight for a larger share."
            )
        elif (each.name or shown) in names:
            problem = f"a second real server of {server.name} is called {each.name or shown}"
            place = (*place, "name") if each.name else place
            findings.report(place, problem=problem, fix="Give each its own name.")
        endpoints.add(shown)
        names.add(each.name or shown)


def _check_unchanged_ports(server: VirtualServerTable, findings: Findings) -> None:
    """Under dr and tunnel a real server gets the packet as it was sent: its port is that of every listener."""
    listeners = [found for _, found in listening.listeners_of(server, findings)]
    ports = sorted({port for each in listeners for port in (each.port, *each.ports[-1:])})
    for place, each in real_servers(server):
        wrong = [port for port in ports if port != each.port] if each.port else []
        method = each.method or server.method
        if not findings.is_sound(place) or method in REWRITING or not wrong:
            continue
        findings.report(
            place,
            problem=f"port {each.port} is not the listener's port {wrong[0]}, and method {method} cannot change ports",
            fix='Use the listener\'s port, a virtual server for each port, or method = "nat".',
            needs=((*server.at, "method"),),
        )


def _check_family(server: VirtualServerTable, findings: Findings) -> None:
    """nat and dr leave a packet in its family, so listeners and real servers are of that of the first listener."""
    at = (*server.at, "listen")
    listeners = listening.listeners_of(server, findings)
    staying = [
        (at, each) for at, each in real_servers(server) if (each.method or server.method) in ONE_FAMILY
    ]
    if not listeners or not staying:
        return
    family = listeners[0][1].address.version
    needs = ((*at, 0), (*server.at, "method"))
    fix = "Make a virtual server for each family, with real servers of its own."
    for place, listener in listeners:
        if listener.address.version != family:
            problem = f"{listener} is IPv{listener.address.version}, and {listeners[0][1]} is not"
            findings.report(place, problem=problem, fix=fix, needs=needs)
    for place, each in staying:
        version = notation.address(each.address).version if findings.is_sound(place) else family
        if version != family:
            method = each.method or server.method
            findings.report(
                place,
                problem=f"{each.address} is IPv{version} and the listeners are not; {method} cannot change that",
                fix=fix,
                needs=needs,
            )


def _check_monitor(table: MonitorTable, findings: Findings) -> None:
    if isinstance(table, HttpMonitorTable | HttpsMonitorTable):
        findings.read((*table.at, "path"), notation.http_path, of=table.path)
        findings.read((*table.at, "host"), notation.http_host, of=table.host)
        at = (*table.at, "statuses")
        if not table.statuses:
            findings.report(at, problem="no status passes", fix='Add one, such as "200-299".')
        for index, each in enumerate(table.statuses):
            findings.read((*at, index), notation.statuses, of=each)
    elif isinstance(table, SendExpectMonitorTable):
        _check_send_expect(table, findings)
    elif isinstance(table, ProgramMonitorTable):
        at = (*table.at, "command")
        if not table.command or not table.command[0]:
            findings.report(at, problem="there is no program to run", fix='Write ["PROGRAM", "%h", "%p"].')
        for index, each in enumerate(table.command):
            findings.read((*at, index), notation.argument, of=each)


def _check_send_expect(table: SendExpectMonitorTable, findings: Findings) -> None:
    findings.read((*table.at, "regex"), notation.regex, of=table.regex)
    if table.expect and table.regex:
        findings.report(
            (*table.at, "regex"), problem="both expect and regex are given", fix="Keep the one you mean."
        )
