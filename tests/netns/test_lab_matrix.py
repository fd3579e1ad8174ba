"""Real HTTP, DNS over UDP and bulk transfers through every method, family and encapsulation: ``shoal lab try``."""

import pytest

from shoal.lab import cluster
from shoal.lab.networks import Family
from shoal.lab.topology import LAYOUTS, Topology
from shoal.lab.trial import BULK_SIZE, try_lab
from shoal.model import Encapsulation, ForwardingMethod, Hook
from support.labs import NAME

REAL_SERVERS = ["rs1", "rs2"]


def combinations() -> list[tuple[ForwardingMethod, Encapsulation, Family, Hook]]:
    """Every method with every encapsulation that it has, in both families; on XDP one family of each."""
    found = []
    for method in LAYOUTS:
        kinds = list(Encapsulation) if method is ForwardingMethod.TUNNEL else [Encapsulation.IPIP]
        found += [(method, kind, family, Hook.AUTO) for kind in kinds for family in Family]
        found += [(method, kinds[0], Family.IPV4, Hook.XDP)]
    return found


@pytest.mark.parametrize(("method", "encap", "family", "hook"), combinations(), ids=str)
def test_real_traffic_reaches_every_real_server_and_comes_back_whole(method, encap, family, hook):
    topology = Topology(
        name=f"{NAME}try",
        router_count=1,
        real_server_count=len(REAL_SERVERS),
        forward=method,
        encap=encap,
        family=family,
        hook=hook,
    )
    try:
        found = try_lab(cluster.up(topology))
    finally:
        cluster.down(topology.name)
    assert found["passed"], found
    trials = found["trials"]
    assert trials["http"]["real_servers"] == trials["dns"]["real_servers"] == REAL_SERVERS
    assert trials["download"]["bytes"] == BULK_SIZE
