"""Every drill, as a client measures it, in a lab of its own. The numbers of many runs are in docs/drills.md."""

import os
from collections.abc import Iterator

import pytest

from shoal.lab import cluster, drills, score
from shoal.lab.changes import ReloadConfiguration, UpgradePrograms
from shoal.lab.drill import Drill
from shoal.lab.promises import broken_by
from shoal.lab.syn_flood import SynFlood
from shoal.lab.topology import Topology

ATTEMPTS = 4  # a run in which the machine kept a pulse from running for a heartbeat says nothing about Shoal
SHORT: dict[str, Drill] = {
    "upgrade": UpgradePrograms(rounds=1),
    "reload": ReloadConfiguration(changes=12),
    "syn-flood": SynFlood(percent=150, seconds=3.0, measuring=0.5),
}
NAME = f"sdr{os.getpid() % 100_000}"


@pytest.fixture(scope="module")
def lab() -> Iterator[cluster.Lab]:
    """A lab with two routers and three real servers."""
    built = cluster.up(Topology(name=NAME, router_count=2, real_server_count=3))
    try:
        yield built
    finally:
        cluster.down(NAME)


@pytest.mark.parametrize("name", list(drills.DRILLS))
def test_a_drill_keeps_what_it_promises(lab: cluster.Lab, name: str) -> None:
    for _ in range(ATTEMPTS):
        drill = SHORT.get(name)
        runs = drills.run(lab, drill or drills.find(name), repeat=1 if drill else 2, interval=0.002)
        document = score.document(name, runs)
        if not document["disturbed"]:
            break
    assert broken_by(document) == (), document
