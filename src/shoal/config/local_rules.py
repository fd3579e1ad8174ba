"""What real servers of method local must keep to. Pure."""

from shoal.config import notation
from shoal.config.findings import Findings
from shoal.config.schema import Document
from shoal.config.server_rules import real_servers


def check_local(document: Document, findings: Findings) -> None:
    """The router itself is 127.0.0.1 or ::1, under which its health is checked; under other methods that is no host."""
    for server in document.virtual_servers:
        for place, each in real_servers(server):
            if not findings.is_sound(place):
                continue
            method = each.method or server.method
            is_loopback = notation.address(each.address).is_loopback
            if method == "local" and not is_loopback:
                findings.report(
                    place,
                    problem=f"{each.address} is not the router itself, which is the real server under method local",
                    fix=f'Write "127.0.0.1:{each.port}" or "[::1]:{each.port}", where its health is checked too.',
                    needs=((*server.at, "method"),),
                )
            elif is_loopback and method != "local":
                findings.report(
                    place,
                    problem=f"{each.address} is the router itself, and method {method} sends packets to others",
                    fix='Use method = "local", or the real server\'s own address.',
                    needs=((*server.at, "method"),),
                )
