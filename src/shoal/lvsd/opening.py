"""What ``lvsd`` is started with, which dataplane it opens, and with what."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shoal.dataplane.base import Dataplane
from shoal.model import Cluster
from shoal.system.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``config`` is the file to read, ``source`` the operator's own, ``supervisor`` the parent's pid or 0."""

    config: Path
    source: Path
    router: str
    places: Places
    supervisor: int = 0


OpenDataplane = Callable[[Cluster, str, Places], Dataplane]


def base(cluster: Cluster) -> tuple[object, ...]:
    """What a dataplane is opened with: a change of this needs a new one."""
    pools = cluster.uses_fullnat, cluster.fullnat_ports
    sees_marks = any(each.marks for each in cluster.virtual_servers)
    return cluster.paths, cluster.routers, cluster.hook, pools, sees_marks, sizes(cluster)


def sizes(cluster: Cluster) -> dict[str, int]:
    """What the tables of the dataplane are made for, by key of the configuration."""
    return {
        "max_connections": cluster.max_connections,
        "max_connections_ipv6": cluster.max_connections_ipv6,
        "max_virtual_servers": cluster.max_virtual_servers,
        "max_real_servers": cluster.max_real_servers,
        "max_templates": cluster.max_templates,
        "max_access_entries": cluster.max_access_entries,
    }


def dataplane_opener(name: str) -> OpenDataplane:
    """How to open the dataplane of that name (``ebpf`` or ``fake``). Imported only when it is asked for."""
    if name == "ebpf":
        from shoal.dataplane.ebpf import open_dataplane

        return open_dataplane
    from shoal.dataplane.fake import FakeDataplane

    fake = FakeDataplane()

    def use_fake(cluster: Cluster, router: str, _places: Places) -> Dataplane:
        fake.use_local(cluster.local_pool(router))
        return fake

    return use_fake
