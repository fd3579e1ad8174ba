"""What ``shoal check`` says of a right file."""

from typing import Any

from shoal.model import Cluster


def summary(cluster: Cluster) -> dict[str, Any]:
    """The configuration in a few lines."""
    real_servers = sum(len(each.real_servers) for each in cluster.virtual_servers)
    addresses = [str(each.address) for group in cluster.groups for each in group.addresses]
    return {
        "cluster": cluster.name,
        "serial": cluster.serial,
        "digest": cluster.digest.hex()[:16],
        "paths": [f"{path.name} ({path.interface})" for path in cluster.paths],
        "routers": [router.name for router in cluster.routers],
        "addresses": addresses,
        "virtual_servers": [
            f"{each.name} ({' '.join((each.scheduler, *each.scheduler_flags))})"
            for each in cluster.virtual_servers
        ],
        "real_servers": real_servers,
    }
