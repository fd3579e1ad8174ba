"""What must be right before anything is started: pure rules over a configuration and a host."""

from dataclasses import dataclass
from pathlib import Path

from shoal.errors import ConfigError, ConfigErrors, ForbiddenError
from shoal.model import Cluster, Router
from shoal.system.host import CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A configuration that this host can run, the router that this host is in it, and the file's own text."""

    cluster: Cluster
    router: str
    text: bytes


def check_rights(host: Host, *, dataplane: str) -> None:
    """ForbiddenError when this process lacks a capability that Shoal needs."""
    needed = [("CAP_NET_ADMIN", {CAP_NET_ADMIN}), ("CAP_NET_RAW", {CAP_NET_RAW})]
    if dataplane == "ebpf":
        needed.append(("CAP_BPF", {CAP_BPF, CAP_SYS_ADMIN}))
    missing = [name for name, any_of in needed if not any_of & host.capabilities]
    if missing:
        raise ForbiddenError(
            problem=f"missing {', '.join(missing)}",
            where="shoal run",
            fix="run as root; a container needs these capabilities added",
        )


def check_interfaces(cluster: Cluster, host: Host, *, source: Path) -> None:
    """ConfigErrors naming every interface of the configuration that this host does not have."""
    there = ", ".join(host.interfaces) or "none"
    missing = [
        ConfigError(
            problem=f"interface {path.interface!r} does not exist on this host",
            where=f"{source}: paths.{path.name}.interface",
            fix=f"one of: {there}",
        )
        for path in cluster.paths
        if path.interface not in host.interfaces
    ]
    if missing:
        raise ConfigErrors(missing)


def find_router(cluster: Cluster, host: Host, *, name: str | None) -> Router:
    """Which router of the cluster this host is: the one named, else by host name, else by an address.

    ConfigError when it is none, or more than one.
    """
    names = ", ".join(router.name for router in cluster.routers)
    if name is not None:
        router = cluster.router(name)
        if router is None:
            raise ConfigError(
                problem=f"no router is called {name!r}", where="--router", fix=f"one of: {names}"
            )
        return router
    if len(cluster.routers) == 1 and not cluster.routers[0].addresses:
        return cluster.routers[0]
    candidates = [each for each in cluster.routers if each.name in (host.name, host.name.partition(".")[0])]
    candidates = candidates or [each for each in cluster.routers if _has_address(each, host)]
    if len(candidates) != 1:
        problem = (
            "this host is none of the routers" if not candidates else "this host is more than one router"
        )
        raise ConfigError(
            problem=f"{problem} (its name is {host.name!r}; routers: {names})",
            where="routers",
            fix="say which one with --router NAME, or correct the routers' addresses",
        )
    return candidates[0]


def serves_ipv6(cluster: Cluster) -> bool:
    """Whether a floating address or a real server's is IPv6: then the host must forward IPv6.

    Without forwarding ``bpf_fib_lookup()`` knows no way, not even one for tunnels that carry IPv4.
    """
    floating = (each.address.version for group in cluster.groups for each in group.addresses)
    real = (each.address.version for server in cluster.virtual_servers for each in server.real_servers)
    return 6 in (*floating, *real)


def _has_address(router: Router, host: Host) -> bool:
    return any(address in host.addresses for _, address in router.addresses)
