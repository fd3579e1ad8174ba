"""What access lists and limits of virtual servers must keep together. Pure."""

from shoal.config import notation
from shoal.config.findings import Findings
from shoal.config.schema import Document, VirtualServerTable
from shoal.model import EVERYBODY, Admission, Network, network_order


def check_admissions(document: Document, findings: Findings) -> None:
    """Report every rule that an access list or a limit breaks."""
    for server in document.virtual_servers:
        _check_lists(server, findings)
        if server.source_rate:
            findings.read((*server.at, "source_rate"), notation.rate, of=server.source_rate)
        elif server.source_burst:
            findings.report(
                (*server.at, "source_burst"),
                problem="there is a burst but no rate",
                fix='Add source_rate, such as "100/s".',
                needs=[(*server.at, "source_rate")],
            )
    total = sum(len(server.allow) + len(server.deny) for server in document.virtual_servers)
    limit = document.dataplane.max_access_entries
    if total > limit:
        findings.report(
            ("dataplane", "max_access_entries"),
            problem=f"{total} entries of allow and deny are more than {limit}",
            fix=f"Set max_access_entries = {total} or more.",
        )


def _check_lists(server: VirtualServerTable, findings: Findings) -> None:
    seen: dict[Network, str] = {}
    for key, entries in (("allow", server.allow), ("deny", server.deny)):
        for index, text in enumerate(entries):
            at = (*server.at, key, index)
            if (network := findings.read(at, notation.network, of=text)) is None:
                continue
            if network in seen:
                other = seen[network]
                problem = f"{network} is in {key} twice" if other == key else f"{network} is in {other} too"
                findings.report(at, problem=problem, fix="Remove one of the two.")
            seen.setdefault(network, key)


def admission(server: VirtualServerTable) -> Admission:
    """What a virtual server's keys say; they must have passed the rules."""
    rate = notation.rate(server.source_rate) if server.source_rate else None
    found = Admission(
        allow=tuple(sorted(map(notation.network, server.allow), key=network_order)),
        deny=tuple(sorted(map(notation.network, server.deny), key=network_order)),
        connection_limit=server.connection_limit,
        source_rate=rate,
        source_burst=server.source_burst or rate.count if rate else 0,
    )
    return EVERYBODY if found == EVERYBODY else found
