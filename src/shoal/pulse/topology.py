"""What pulse takes from a configuration: settings of the election, and who is reached where."""

from dataclasses import dataclass

from shoal.errors import ConfigError
from shoal.model import Address, Cluster, Router
from shoal.pulse.events import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """One router's view of a configuration. ``addresses`` maps (peer, path) to the peer's fixed address there."""

    cluster: Cluster
    router: Router
    settings: Settings
    addresses: dict[tuple[str, str], Address]

    @property
    def authenticates_like(self) -> tuple[object, ...]:
        """Two topologies with the same value here can go on with the same sessions."""
        cluster = self.cluster
        return cluster.name, cluster.key, self.settings.peers, self.settings.paths, cluster.dead_time

    def peer_at(self, path: str, address: Address) -> str | None:
        """The peer whose fixed address on a path this is."""
        for (peer, on_path), known in self.addresses.items():
            if on_path == path and known == address:
                return peer
        return None


def topology_of(cluster: Cluster, name: str) -> Topology:
    """The view of router ``name``; ConfigError when the configuration has no such router."""
    router = cluster.router(name)
    if router is None and len(cluster.routers) == 1 and not cluster.routers[0].addresses:
        router = cluster.routers[0]
    if router is None:
        names = ", ".join(known.name for known in cluster.routers)
        raise ConfigError(where="routers", problem=f"no router is named {name!r}", fix=f"one of: {names}")
    peers = [peer for peer in cluster.routers if peer is not router]
    paths = tuple(path.name for path in cluster.paths)
    settings = Settings(
        name=router.name,
        priority=router.priority,
        peers=tuple((peer.name, peer.priority) for peer in peers),
        paths=paths,
        heartbeat_interval=cluster.heartbeat_interval,
        dead_time=cluster.dead_time,
        config_serial=cluster.serial,
        config_digest=cluster.digest[:16].ljust(16, b"\0"),
    )
    addresses = {
        (peer.name, path): address for peer in peers for path, address in peer.addresses if path in paths
    }
    return Topology(cluster=cluster, router=router, settings=settings, addresses=addresses)
