"""What the keys of tunnels and of masquerading must keep together. Pure."""

from shoal.config.findings import Findings
from shoal.config.schema import Document, RealServerTable, VirtualServerTable
from shoal.config.tables import TablePath


def check_tunnels(document: Document, findings: Findings) -> None:
    """Report encapsulations that nothing travels in: a key that does nothing is a mistake."""
    for server in document.virtual_servers:
        tables = [each for each in server.real_servers if isinstance(each, RealServerTable)]
        methods = [server.method, *(each.method or server.method for each in tables)]
        encaps = [server.encap or "ipip", *(each.encap or server.encap or "ipip" for each in tables)]
        _check_keys(server, findings, at=server.at, tunnels="tunnel" in methods, gue="gue" in encaps)
        for index, each in enumerate(server.real_servers):
            if isinstance(each, RealServerTable):
                _check_keys(
                    each,
                    findings,
                    at=(*server.at, "real_servers", index),
                    tunnels=(each.method or server.method) == "tunnel",
                    gue=(each.encap or server.encap) == "gue",
                )


def check_mss_clamp(document: Document, findings: Findings) -> None:
    """Only TCP has segments."""
    for server in document.virtual_servers:
        if server.mss_clamp and all(text.endswith("/udp") for text in server.listen):
            findings.report(
                (*server.at, "mss_clamp"),
                problem="mss_clamp is about TCP segments, and no listener is of TCP",
                fix="Remove it.",
                needs=[(*server.at, "listen")],
            )


def check_masquerading(document: Document, findings: Findings, *, public: str) -> None:
    """Masquerading needs a gateway to be reached by, and another network to go to."""
    for name, path in document.paths.items():
        at = ("paths", name, "masquerade")
        if path.masquerade and name == public:
            findings.report(
                at,
                problem=f"the path {name} is the one to masquerade towards",
                fix="Set it on the path of the real servers.",
            )
        elif path.masquerade and not path.gateway:
            findings.report(
                at,
                problem="masquerade needs a gateway, the address that the real servers send to",
                fix='Add gateway = "10.0.1.1/24" or the like to this path.',
                needs=[("paths", name, "gateway")],
            )


def _check_keys(
    table: VirtualServerTable | RealServerTable,
    findings: Findings,
    *,
    at: TablePath,
    tunnels: bool,
    gue: bool,
) -> None:
    if table.encap and not tunnels:
        findings.report(
            (*at, "encap"),
            problem=f"encap = {table.encap!r} does nothing without method tunnel",
            fix='Add method = "tunnel", or remove encap.',
            needs=[(*at, "method")],
        )
    elif table.encap_port and not (tunnels and gue):
        findings.report(
            (*at, "encap_port"),
            problem="encap_port is the UDP port of gue, and no packet travels in that here",
            fix='Add encap = "gue", or remove encap_port.',
            needs=[(*at, "encap")],
        )
