"""A whole lab by direct routing: what ``shoal lab up --forward dr`` gives, and drills on it."""

import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shoal.lab import cluster, drills, namespaces, score
from shoal.lab.cluster import Lab
from shoal.lab.texts import ECHO_PORT
from shoal.lab.topology import Topology
from shoal.model import ForwardingMethod
from support.labs import NAME
from support.namespaces import inside

INTERVAL = 0.002


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    topology = Topology(name=f"{NAME}g", forward=ForwardingMethod.DR)
    try:
        yield cluster.up(topology)
    finally:
        cluster.down(topology.name)


def drilled(lab: Lab, name: str) -> dict[str, Any]:
    run = drills.run_once(lab, drills.find(name), chance=random.Random(1), interval=INTERVAL)
    return score.document(name, [run])


def answers(lab: Lab, count: int) -> set[str]:
    """The real servers that answer datagrams from so many ports."""
    names = set()
    for _ in range(count):
        with inside(lab.topology.namespace("client")):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(5)
            sock.connect((str(lab.topology.vip), ECHO_PORT))
            sock.send(b"hello")
            name, said = sock.recv(100).split()
            assert said == b"hello"
            names.add(name.decode())
    return names


def test_requests_are_spread_over_every_real_server(lab: Lab):
    pages = {lab.fetch(lab.topology.url) for _ in range(3)}
    assert pages == {"real server rs1\n", "real server rs2\n", "real server rs3\n"}


def test_datagrams_are_answered_in_the_virtual_name(lab: Lab):
    assert answers(lab, 3) == {"rs1", "rs2", "rs3"}


def test_the_router_sees_requests_and_no_replies(lab: Lab):
    lab.fetch(lab.topology.url)
    served = lab.router(lab.active()).get("/v1/servers")
    assert served is not None
    www = next(each for each in served["virtual_servers"] if each["name"] == "www")
    assert {each["method"] for each in www["real_servers"]} == {"dr"}
    assert sum(each["packets_in"] for each in www["real_servers"]) > 0
    assert [each["packets_out"] for each in www["real_servers"]] == [0, 0, 0]


def test_the_client_has_the_routers_mac_for_the_virtual_address(lab: Lab):
    lab.fetch(lab.topology.url)
    shown = namespaces.run(
        lab.topology.namespace("client"), ["ip", "neigh", "show", str(lab.topology.vip)]
    ).stdout
    assert lab.topology.owner_of_mac(shown.split()[4]) == lab.active()


def test_kill_real_loses_nothing_after_detection(lab: Lab):
    result = drilled(lab, "kill-real")
    assert result["probes_lost"] > 0
    assert result["lost_after_detection"] == 0


def test_kill_active_moves_the_address_within_a_second(lab: Lab):
    before = lab.active()
    result = drilled(lab, "kill-active")
    assert result["moves"] == 1
    assert 0 < result["outage_ms"]["max"] < 1000
    assert lab.active() != before
