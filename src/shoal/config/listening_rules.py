"""What the listeners of virtual servers must keep together: ranges, firewall marks, ports that stay. Pure."""

from collections.abc import Iterable

from shoal.config import notation
from shoal.config.findings import Findings
from shoal.config.schema import Document, ProgramMonitorTable, RealServerTable, VirtualServerTable
from shoal.config.tables import TablePath
from shoal.model import Listener, Protocol

MAX_RANGES = 2048
"""Ranges of ports of a configuration: each takes up to 30 prefixes of 65,536 (``listener_ranges``)."""

Placed = list[tuple[TablePath, RealServerTable]]


def listeners_of(server: VirtualServerTable, findings: Findings) -> list[tuple[TablePath, Listener]]:
    """Its listeners that can be read, with their places; firewall marks are none."""
    at = (*server.at, "listen")
    return [
        ((*at, index), found)
        for index, text in enumerate(server.listen)
        if not notation.is_mark(text)
        and (found := findings.read((*at, index), notation.listener, of=text)) is not None
    ]


def check_marks(document: Document, findings: Findings) -> None:
    """Report marks that two virtual servers listen to, and marks where XDP is asked for."""
    owners: dict[int, str] = {}
    for server in document.virtual_servers:
        for index, text in enumerate(server.listen):
            at = (*server.at, "listen", index)
            if not notation.is_mark(text) or (mark := findings.read(at, notation.mark, of=text)) is None:
                continue
            if mark in owners:
                findings.report(
                    at,
                    problem=f"fwmark:{mark} is already served by {owners[mark] or 'another virtual server'}",
                    fix="Remove one of the two, or use another mark.",
                )
            owners.setdefault(mark, server.name)
            if document.dataplane.hook == "xdp":
                findings.report(
                    at,
                    problem="a firewall mark cannot be seen where packets are taken by XDP",
                    fix='Use hook = "tc" or "auto" under [dataplane], or listen to an address.',
                    needs=[("dataplane", "hook")],
                )


def check_ranges(document: Document, findings: Findings) -> None:
    """Report ranges that overlap: of two listeners the narrower wins only where one is a single port or any port."""
    seen: dict[tuple[object, Protocol], list[tuple[Listener, str]]] = {}
    total = 0
    for server in document.virtual_servers:
        for at, listener in listeners_of(server, findings):
            if not listener.is_range or listener.is_any_port:
                continue
            total += 1
            others = seen.setdefault((listener.address, listener.protocol), [])
            for other, name in others:
                if (
                    other != listener
                    and other.port <= listener.last_port
                    and listener.port <= other.last_port
                ):
                    findings.report(
                        at,
                        problem=f"{listener} overlaps {other} of {name or 'another virtual server'}",
                        fix="Let the ranges end where the next one begins.",
                    )
            others.append((listener, server.name))
    if total > MAX_RANGES:
        problem = f"{total} ranges of ports are more than {MAX_RANGES}"
        findings.report(("virtual_servers",), problem=problem, fix="Use any port, *, or fewer ranges.")


def check_mapping(server: VirtualServerTable, findings: Findings, *, real_servers: Placed) -> None:
    """Report a real server's own port where listeners have many: replies could not be told apart."""
    wide = [listener for _, listener in listeners_of(server, findings) if listener.is_range]
    marked = [text for text in server.listen if notation.is_mark(text)]
    for place, each in real_servers:
        if not findings.is_sound(place):
            continue
        method = each.method or server.method
        if method == "fullnat" and not each.port:
            findings.report(
                place,
                problem="method fullnat needs the real server's port",
                fix="Add the port, or use another method.",
                needs=[(*server.at, "method")],
            )
        if method in ("nat", "fullnat") and each.port and (wide or marked):
            findings.report(
                place,
                problem=f"port {each.port} stands for every port of {wide[0] if wide else marked[0]}",
                fix="Leave the port out, or write ADDRESS:*, so that packets keep their port.",
            )


def check_sctp_ports(server: VirtualServerTable, findings: Findings, *, real_servers: Placed) -> None:
    """Report real servers that would need another port under SCTP, whose checksum covers the ports and all data."""
    ours = [each for _, each in listeners_of(server, findings) if each.protocol is Protocol.SCTP]
    for place, each in real_servers:
        method = each.method or server.method
        if not ours or not findings.is_sound(place):
            continue
        if method == "fullnat":
            findings.report(
                place,
                problem=f"method fullnat changes ports, and {ours[0]} must keep them: the checksum covers them",
                fix='Use method "nat", "dr" or "tunnel" for SCTP.',
                needs=[(*server.at, "method")],
            )
        other = next((one for one in ours if each.port and (one.is_range or one.port != each.port)), None)
        if method == "nat" and other is not None:
            findings.report(
                place,
                problem=f"port {each.port} is not that of {other}, and SCTP keeps its ports: the checksum covers them",
                fix="Leave the port out, or write ADDRESS:*, so that packets keep their port.",
            )


def check_probed_port(server: VirtualServerTable, findings: Findings, *, real_servers: Placed) -> None:
    """Report a health check that has no port to ask."""
    monitor = server.monitor
    if monitor.port or not _needs_port(server):
        return
    for place, each in real_servers:
        if not each.port and findings.is_sound(place):
            findings.report(
                place,
                problem="the health check has no port, since the real server has none of its own",
                fix="Add port = NUMBER to the virtual server's monitor.",
                needs=[(*server.at, "monitor")],
            )


def _needs_port(server: VirtualServerTable) -> bool:
    monitor = server.monitor
    return not isinstance(monitor, ProgramMonitorTable) or any("%p" in each for each in monitor.command)


def check_one_packet(server: VirtualServerTable, findings: Findings) -> None:
    """Report one_packet where it means nothing."""
    others = [
        listener for _, listener in listeners_of(server, findings) if listener.protocol is not Protocol.UDP
    ]
    if server.one_packet and others:
        findings.report(
            (*server.at, "one_packet"),
            problem=f"{others[0]} is not UDP, and only datagrams can be scheduled one by one",
            fix="Make a virtual server of its own for the UDP listeners.",
            needs=[(*server.at, "listen")],
        )


def check_one_packet_replies(document: Document, findings: Findings, *, placed: Iterable[Placed]) -> None:
    """Report real servers whose replies would have no name: under nat and one_packet their endpoint is all there is."""
    wanted: dict[tuple[str, int, str], set[Listener]] = {}
    single: list[tuple[TablePath, tuple[str, int, str]]] = []
    for server, real_servers in zip(document.virtual_servers, placed, strict=True):
        udp = [each for _, each in listeners_of(server, findings) if each.protocol is Protocol.UDP]
        for place, each in real_servers:
            if (each.method or server.method) != "nat" or not findings.is_sound(place):
                continue
            address = str(notation.address(each.address))
            for listener in udp:
                key = (address, each.port or (0 if listener.is_range else listener.port), "udp")
                wanted.setdefault(key, set()).add(listener)
                if server.one_packet:
                    single.append((place, key))
    for place, key in single:
        if len(wanted[key]) > 1:
            both = " and ".join(map(str, sorted(wanted[key])[:2]))
            findings.report(
                place,
                problem=f"its replies could be those of {both}; with one_packet nothing else tells",
                fix='Give it a port of its own for each listener, or use method = "dr".',
            )
