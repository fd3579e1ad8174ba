"""What the keys of a file must keep together: the cluster, its paths and its routers.

Pure. Whether an interface exists on this host is looked at elsewhere, since it differs from host to host.
"""

from collections.abc import Iterable, Mapping

from shoal.config import notation
from shoal.config.findings import Findings
from shoal.config.fullnat_rules import check_fullnat
from shoal.config.local_rules import check_local
from shoal.config.schema import ClusterTable, Document, PathTable, RouterTable
from shoal.config.server_rules import check_virtual_servers
from shoal.config.shape import home_of, likely
from shoal.config.tables import TablePath
from shoal.config.tunnel_rules import check_masquerading, check_mss_clamp, check_tunnels
from shoal.model import Address, Network

DEAD_INTERVALS = 3
FEWEST_DEAD_INTERVALS = 2
MAX_ROUTERS = 16
PUBLIC = "public"

Fixed = dict[Address, tuple[str, str]]


def check(document: Document, findings: Findings) -> None:
    """Report every rule that the file breaks."""
    _check_cluster(document.cluster, findings, peers=len(document.routers) > 1)
    _check_paths(document, findings)
    fixed = _check_routers(document.routers, findings, paths=document.paths.keys())
    floating = _check_gateways(document, findings, fixed=fixed)
    check_virtual_servers(document, findings, fixed=fixed, gateways=floating)
    check_tunnels(document, findings)
    check_mss_clamp(document, findings)
    check_local(document, findings)
    check_fullnat(document, findings, fixed=fixed, public=PUBLIC)
    check_masquerading(document, findings, public=PUBLIC)


def dead_time(table: ClusterTable) -> float:
    """Seconds of silence that mean death: three intervals unless the file says otherwise."""
    return table.dead_time or round(DEAD_INTERVALS * table.heartbeat_interval, 9)


def gateways(path: PathTable) -> list[tuple[TablePath, str]]:
    """A path's gateways, each with its place in the key ``gateway``, which is one text or a list."""
    if isinstance(path.gateway, str):
        return [((), path.gateway)] if path.gateway else []
    return [((index,), text) for index, text in enumerate(path.gateway)]


def _check_cluster(table: ClusterTable, findings: Findings, *, peers: bool) -> None:
    findings.read(("cluster", "name"), notation.name, of=table.name)
    least = round(FEWEST_DEAD_INTERVALS * table.heartbeat_interval, 9)
    if dead_time(table) < least:
        findings.report(
            ("cluster", "dead_time"),
            problem=f"{dead_time(table):g} s is less than two heartbeat intervals ({least:g} s)",
            fix=f"Use at least {least:g}, or a shorter heartbeat_interval.",
            needs=[("cluster", "heartbeat_interval")],
        )
    if table.key and table.key_file:
        findings.report(
            ("cluster", "key"),
            problem="both key and key_file are given",
            fix="Keep key_file, and remove key.",
        )
    if peers and not table.key and not table.key_file:
        findings.report(
            ("cluster", "key_file"),
            problem="there are several routers and no key to authenticate their heartbeats",
            fix='Add key_file = "/etc/shoal/cluster.key", the same file on every router.',
            needs=[("cluster", "key")],
        )


def _check_paths(document: Document, findings: Findings) -> None:
    if PUBLIC not in document.paths:
        findings.report(
            ("paths", PUBLIC),
            problem="the path public is missing; virtual addresses go on its interface",
            fix='Add [paths.public] with interface = "eth0" or the like.',
        )
    for name, path in document.paths.items():
        findings.read(("paths", name), notation.name, of=name)
        if name in ("name", "priority", "fullnat_addresses"):
            findings.report(
                ("paths", name),
                problem=f"a path cannot be called {name}, since routers have a key of that name",
                fix="Give the path another name.",
            )
        findings.read(("paths", name, "interface"), notation.interface, of=path.interface)


def _check_routers(routers: Iterable[RouterTable], findings: Findings, *, paths: Iterable[str]) -> Fixed:
    """Check the routers; return whose the fixed addresses are, and on which path."""
    routers, paths = list(routers), list(paths)
    names: dict[str, TablePath] = {}
    fixed: Fixed = {}
    if len(routers) > MAX_ROUTERS:
        problem = f"{len(routers)} routers are more than {MAX_ROUTERS}"
        findings.report(("routers",), problem=problem, fix=f"Use at most {MAX_ROUTERS}.")
    for router in routers:
        at = (*router.at, "name")
        findings.read(at, notation.name, of=router.name)
        if names.setdefault(router.name, at) != at:
            findings.report(
                at, problem=f"a second router is called {router.name}", fix="Give each its own name."
            )
        _check_fixed_addresses(router, findings, paths=paths, fixed=fixed)
    _check_common_paths(routers, findings, paths=paths)
    _check_one_family(routers, findings, fixed=fixed)
    return fixed


def _check_fixed_addresses(
    router: RouterTable, findings: Findings, *, paths: list[str], fixed: Fixed
) -> None:
    for path, text in router.addresses.items():
        at = (*router.at, path)
        if path not in paths:
            meant = likely(path, ["name", "priority", "fullnat_addresses", *paths])
            known = (
                f"It belongs in {home_of(path)}." if home_of(path) else f"Add [paths.{path}], or remove it."
            )
            hint = f"Did you mean {meant!r}?" if meant else known
            findings.report(at, problem=f"{path!r} is neither a key of a router nor a path", fix=hint)
            findings.distrust((*router.at, meant or path))
            continue
        address = findings.read(at, notation.routable_address, of=text)
        if address is None:
            continue
        if address in fixed:
            owner, its_path = fixed[address]
            findings.report(
                at,
                problem=f"{address} is already the address of router {owner} on path {its_path}",
                fix="Give each router its own address on each path.",
            )
        fixed.setdefault(address, (router.name, path))


def _check_common_paths(routers: list[RouterTable], findings: Findings, *, paths: list[str]) -> None:
    """Peers hear each other only on a path where both have an address."""
    if len(routers) < 2:
        return
    used = {path for router in routers for path in router.addresses} or {PUBLIC}
    for router in routers:
        for path in paths:
            if path in used and path not in router.addresses:
                findings.report(
                    (*router.at, path),
                    problem=f"router {router.name} has no address on path {path}",
                    fix=f'Add {path} = "ADDRESS", its fixed address there, for the heartbeats.',
                )


def _check_one_family(routers: Iterable[RouterTable], findings: Findings, *, fixed: Fixed) -> None:
    """On one path all heartbeats go by the same IP version."""
    first: dict[str, Address] = {}
    places = {(router.name, path): (*router.at, path) for router in routers for path in router.addresses}
    for address, (router, path) in fixed.items():
        if first.setdefault(path, address).version != address.version:
            findings.report(
                places[router, path],
                problem=f"{address} is IPv{address.version}, and the other routers' addresses on path {path} are not",
                fix="Give the routers addresses of one family on each path.",
            )


def _check_gateways(document: Document, findings: Findings, *, fixed: Fixed) -> dict[Address, str]:
    """Check the floating gateway addresses; return the path of each."""
    taken: dict[Address, str] = {}
    for path, table in document.paths.items():
        families: set[int] = set()
        for index, text in gateways(table):
            at = ("paths", path, "gateway", *index)
            found = findings.read(at, notation.gateway, of=text)
            if found is None:
                continue
            _check_gateway(found.ip, findings, at=at, fixed=fixed, taken=taken)
            if found.version in families:
                problem = f"path {path} has another IPv{found.version} gateway"
                findings.report(at, problem=problem, fix="Keep one of each family.")
            families.add(found.version)
            taken.setdefault(found.ip, path)
            _check_gateway_network(found.network, findings, at=at, fixed=fixed)
    return taken


def _check_gateway(
    address: Address, findings: Findings, *, at: TablePath, fixed: Fixed, taken: Mapping[Address, str]
) -> None:
    if address in fixed:
        findings.report(
            at,
            problem=f"{address} is the fixed address of router {fixed[address][0]}, so it cannot float",
            fix="Use an address of that network that no machine has.",
        )
    if address in taken:
        problem = f"{address} is already the gateway of path {taken[address]}"
        findings.report(at, problem=problem, fix="Give each path its own gateway.")


def _check_gateway_network(network: Network, findings: Findings, *, at: TablePath, fixed: Fixed) -> None:
    """A router's address of the other family says nothing about the network."""
    for address, (router, its_path) in fixed.items():
        if its_path == at[1] and address.version == network.version and address not in network:
            findings.report(
                at,
                problem=f"{network} does not hold {address}, the address of router {router} on this path",
                fix="Use a gateway in the network of the routers' addresses on the path.",
            )
