"""A whole lab with the real routers: what a newcomer gets from ``shoal lab up``, and drills on it."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from shoal.lab import cluster, drills, namespaces, score
from shoal.lab.cluster import Lab
from shoal.lab.topology import Topology
from support.labs import NAME

INTERVAL = 0.002


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    topology = Topology(name=f"{NAME}c")
    try:
        yield cluster.up(topology)
    finally:
        cluster.down(topology.name)


def drilled(lab: Lab, name: str) -> dict[str, Any]:
    run = drills.run_once(lab, drills.find(name), chance=random.Random(1), interval=INTERVAL)
    return score.document(name, [run])


def test_up_returns_once_everything_serves(lab: Lab):
    assert lab.ailments() == ()


def test_requests_are_spread_over_every_real_server(lab: Lab):
    pages = {lab.fetch(lab.topology.url) for _ in range(3)}
    assert pages == {"real server rs1\n", "real server rs2\n", "real server rs3\n"}


def test_status_names_one_active_router_that_holds_the_floating_addresses(lab: Lab):
    status = lab.status()
    holders = {router["name"]: router["addresses"] for router in status["routers"]}
    active = lab.active()
    assert sorted(holders.pop(active)) == ["10.210.0.100", "10.211.0.1"]
    assert list(holders.values()) == [[]]
    assert {server["name"] for server in status["real_servers"]} == {"rs1", "rs2", "rs3"}


def test_kill_lvsd_is_not_noticed_by_any_client(lab: Lab):
    result = drilled(lab, "kill-lvsd")
    assert result["probes_sent"] > 500
    assert (result["probes_lost"], result["connections_broken"]) == (0, 0)


def test_kill_real_loses_nothing_after_detection(lab: Lab):
    result = drilled(lab, "kill-real")
    assert result["probes_lost"] > 0
    assert result["lost_after_detection"] == 0
    assert 0 < result["detection_ms"]["max"] < 3000


def test_kill_active_moves_the_address_within_a_second(lab: Lab):
    before = lab.active()
    result = drilled(lab, "kill-active")
    assert result["each"][0]["target"] == before
    assert result["moves"] == 1
    assert 0 < result["outage_ms"]["max"] < 1000
    assert result["announcements"] >= 1
    assert lab.active() != before


def test_cut_private_moves_the_gateway_too(lab: Lab):
    before = lab.active()
    result = drilled(lab, "cut-private")
    assert result["moves"] == 1
    assert result["outage_ms"]["max"] < 1000
    assert lab.active() != before


def test_nothing_is_left_after_a_lab_that_served():
    topology = Topology(name=f"{NAME}x", router_count=1, real_server_count=1)
    try:
        lab = cluster.up(topology)
        pids = lab.processes("lb1")
    finally:
        cluster.down(topology.name)
    assert len(pids) >= 4
    assert [pid for pid in pids if namespaces.command_line(pid)] == []
    assert not lab.folder.path.exists()
