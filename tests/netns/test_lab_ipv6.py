"""A whole lab in IPv6: what ``shoal lab up --family 6`` gives, and drills on it."""

import random
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any

import pytest

from shoal.lab import cluster, drills, namespaces, score
from shoal.lab.cluster import Lab
from shoal.lab.networks import Family
from shoal.lab.texts import ECHO_PORT
from shoal.lab.topology import Topology
from shoal.model import ForwardingMethod
from support.labs import NAME, run
from support.namespaces import inside

INTERVAL = 0.002


@pytest.fixture(scope="module", params=[ForwardingMethod.NAT, ForwardingMethod.DR])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    topology = Topology(name=f"{NAME}six", forward=request.param, family=Family.IPV6)
    try:
        yield cluster.up(topology)
    finally:
        cluster.down(topology.name)


def drilled(lab: Lab, name: str) -> dict[str, Any]:
    done = drills.run_once(lab, drills.find(name), chance=random.Random(1), interval=INTERVAL)
    return score.document(name, [done])


def answers(lab: Lab, count: int) -> set[str]:
    """The real servers that answer datagrams from so many ports."""
    names = set()
    for _ in range(count):
        with inside(lab.topology.namespace("client")):
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(5)
            sock.connect((str(lab.topology.vip), ECHO_PORT))
            sock.send(b"hello")
            name, said = sock.recv(100).split()
            assert said == b"hello"
            names.add(name.decode())
    return names


def test_no_node_has_an_ipv4_address(lab: Lab):
    for node in ("client", "lb1", "rs1"):
        shown = run(lab, node, "ip", "-4", "-o", "address", "show", "scope", "global")
        assert shown == ""


def test_requests_are_spread_over_every_real_server(lab: Lab):
    pages = {lab.fetch(lab.topology.url) for _ in range(3)}
    assert pages == {"real server rs1\n", "real server rs2\n", "real server rs3\n"}


def test_datagrams_are_answered_in_the_virtual_name(lab: Lab):
    assert answers(lab, 3) == {"rs1", "rs2", "rs3"}


def test_the_routers_forward_ipv6_and_their_floating_addresses_are_deprecated(lab: Lab):
    active = lab.active()
    assert run(lab, active, "sysctl", "-n", "net.ipv6.conf.all.forwarding") == "1\n"
    shown = run(lab, active, "ip", "-6", "-o", "address", "show", "deprecated").split()
    floating = {str(lab.topology.vip), str(lab.topology.gateway.ip)}
    assert {word.partition("/")[0] for word in shown if "/" in word} == floating


def test_the_client_has_the_routers_mac_for_the_virtual_address(lab: Lab):
    lab.fetch(lab.topology.url)
    vip = str(lab.topology.vip)
    shown = namespaces.run(lab.topology.namespace("client"), ["ip", "neigh", "show", vip]).stdout
    assert lab.topology.owner_of_mac(shown.split()[4]) == lab.active()


def test_kill_active_moves_the_address_within_a_second_and_announces_it(lab: Lab):
    before = lab.active()
    result = drilled(lab, "kill-active")
    assert result["moves"] == 1
    assert 0 < result["outage_ms"]["max"] < 1000
    assert result["announcements"] >= 2
    assert lab.active() != before


def test_a_clean_stop_loses_next_to_nothing(lab: Lab):
    result = drilled(lab, "stop-active")
    assert result["outage_ms"]["max"] <= 50
    assert IPv6Address(lab.topology.vip) in {
        IPv6Address(address) for address in lab.router(lab.active()).get("/v1/status")["addresses"]
    }
