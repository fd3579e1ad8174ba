"""What the keys of method fullnat must keep together. Pure."""

from collections.abc import Iterable, Mapping

from shoal.config import notation
from shoal.config.findings import Findings
from shoal.config.schema import Document, RealServerTable, RouterTable, VirtualServerTable
from shoal.config.tables import TablePath
from shoal.errors import ConfigError
from shoal.model import Address, local_addresses

MAX_ADDRESSES = 16
"""Of a family, of one router; ``SHOAL_MAX_LOCAL`` in ``bpf/abi.h``."""

Fixed = Mapping[Address, tuple[str, str]]


def check_fullnat(document: Document, findings: Findings, *, fixed: Fixed, public: str) -> None:
    """Report ports and addresses that cannot be a router's own end, and routers that have none.

    ``fixed`` are the routers' addresses on paths, with whose they are.
    """
    findings.read(("dataplane", "fullnat_ports"), notation.ports, of=document.dataplane.fullnat_ports)
    taken: dict[Address, str] = {address: name for address, (name, _) in fixed.items()}
    floating = _floating(document)
    for router in document.routers:
        _check_addresses(router, findings, taken=taken, floating=floating)
    for server in document.virtual_servers:
        _check_served(server, document, findings, public=public)


def _local_addresses(router: RouterTable) -> tuple[Address, ...]:
    """The router's pool, as far as its texts can be read."""
    fixed = [(path, address) for path, text in router.addresses.items() for address in _readable([text])]
    return local_addresses(_readable(router.fullnat_addresses), fixed)


def _readable(texts: Iterable[str]) -> list[Address]:
    found = []
    for text in texts:
        try:
            found.append(notation.address(text))
        except ConfigError:
            continue
    return found


def _floating(document: Document) -> set[Address]:
    """The virtual addresses, and the gateways."""
    found: set[Address] = set()
    for server in document.virtual_servers:
        for text in server.listen:
            try:
                found.add(notation.listener(text).address)
            except ConfigError:
                continue
    for path in document.paths.values():
        for text in [path.gateway] if isinstance(path.gateway, str) else path.gateway:
            try:
                found.add(notation.gateway(text).ip)
            except ConfigError:
                continue
    return found


def _check_addresses(
    router: RouterTable, findings: Findings, *, taken: dict[Address, str], floating: set[Address]
) -> None:
    at = (*router.at, "fullnat_addresses")
    seen: list[Address] = []
    for index, text in enumerate(router.fullnat_addresses):
        found = findings.read((*at, index), notation.routable_address, of=text)
        if found is None:
            continue
        owner = taken.setdefault(found, router.name)
        if found in floating:
            problem = (
                f"{found} floats between the routers, and replies must come to the one that sent the request"
            )
            findings.report((*at, index), problem=problem, fix="Use an address of this router alone.")
        elif owner != router.name:
            problem = f"{found} is an address of router {owner}, and replies must come to the one that sent the request"
            findings.report((*at, index), problem=problem, fix="Use an address of this router alone.")
        elif found in seen:
            findings.report((*at, index), problem=f"{found} is given twice", fix="Remove one of the two.")
        seen.append(found)
    for version in (4, 6):
        if (count := sum(each.version == version for each in seen)) > MAX_ADDRESSES:
            problem = f"{count} addresses of IPv{version} are more than {MAX_ADDRESSES}"
            findings.report(at, problem=problem, fix=f"Use at most {MAX_ADDRESSES} of each family.")


def _check_served(server: VirtualServerTable, document: Document, findings: Findings, *, public: str) -> None:
    """Every router needs an end of the family that the virtual server's packets are of."""
    place = _fullnat_at(server)
    families = {address.version for address in _listening(server)}
    if place is None or not families:
        return
    if not document.routers:
        problem = "fullnat needs an address of the router, and no router is described"
        findings.report(
            place, problem=problem, fix='Add [[routers]] with name and private = "10.0.1.11" or the like.'
        )
    for router in document.routers:
        _check_choice(router, server, findings, public=public, place=place)
        have = {address.version for address in _local_addresses(router)}
        for version in sorted(families - have):
            findings.report(
                (*router.at, "fullnat_addresses"),
                problem=f"router {router.name} has no IPv{version} address for the connections of {server.name}",
                fix="Add one that the real servers can reach.",
                needs=[place],
            )


def _check_choice(
    router: RouterTable, server: VirtualServerTable, findings: Findings, *, public: str, place: TablePath
) -> None:
    """With several networks behind the router, only the operator knows which address the real servers reach."""
    for version in {address.version for address in _listening(server)}:
        given = [each for each in _readable(router.fullnat_addresses) if each.version == version]
        fixed = _readable(text for path, text in router.addresses.items() if path != public)
        ours = [str(each) for each in fixed if each.version == version]
        if not given and len(ours) > 1:
            findings.report(
                (*router.at, "fullnat_addresses"),
                problem=f"router {router.name} has {' and '.join(ours)}, and {server.name} may reach only one of them",
                fix="Name those that the real servers can answer.",
                needs=[place],
            )


def _fullnat_at(server: VirtualServerTable) -> TablePath | None:
    """Where fullnat was asked for; None where it was not."""
    for index, each in enumerate(server.real_servers):
        method = each.method if isinstance(each, RealServerTable) else None
        if method == "fullnat":
            return (*server.at, "real_servers", index, "method")
        if method is None and server.method == "fullnat":
            return (*server.at, "method")
    return None


def _listening(server: VirtualServerTable) -> list[Address]:
    found = []
    for text in server.listen:
        try:
            found.append(notation.listener(text).address)
        except ConfigError:
            continue
    return found
