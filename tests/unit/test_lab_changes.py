"""The changes of configuration that the reload drill makes."""

from itertools import pairwise
from pathlib import Path

import pytest

from shoal import config
from shoal.lab.changes import variation
from shoal.lab.texts import VIRTUAL_SERVERS, cluster_config
from shoal.lab.topology import Topology
from shoal.model import Cluster

CHANGES = 50


def changed(path: Path, number: int, *, real_servers: int = 3) -> Cluster:
    topology = Topology(real_server_count=real_servers)
    change = variation(topology, number)
    path.write_text(cluster_config(topology, key="k" * 16, serial=number, variation=change))
    return config.load(path)


def test_every_change_is_a_configuration_that_shoal_accepts(tmp_path: Path):
    for number in range(CHANGES):
        cluster = changed(tmp_path / "config.toml", number)
        assert cluster.serial == number
        assert {each.name for each in cluster.virtual_servers} == set(VIRTUAL_SERVERS)


@pytest.mark.parametrize("real_servers", [1, 2, 3, 5])
def test_every_change_leaves_a_real_server_that_takes_connections(tmp_path: Path, real_servers: int):
    for number in range(CHANGES):
        cluster = changed(tmp_path / "config.toml", number, real_servers=real_servers)
        for virtual_server in cluster.virtual_servers:
            assert any(each.weight for each in virtual_server.real_servers)


def test_no_two_changes_in_a_row_schedule_alike():
    schedulers = [variation(Topology(), number).scheduler for number in range(CHANGES)]
    assert all(one != other for one, other in pairwise(schedulers))


def test_real_servers_are_taken_out_and_put_back_and_quiesced():
    changes = [variation(Topology(), number) for number in range(CHANGES)]
    assert {name for change in changes for name in change.left_out} == {"rs1", "rs2", "rs3"}
    assert any(not change.left_out for change in changes)
    assert any(0 in change.weights.values() for change in changes)
