"""A whole lab by fullnat, in both families: real servers that have no route to the client, and drills on it."""

import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shoal.lab import cluster, drills, score
from shoal.lab.cluster import Lab
from shoal.lab.networks import Family
from shoal.lab.texts import ECHO_PORT
from shoal.lab.topology import Topology
from shoal.model import ForwardingMethod
from support.labs import NAME, run
from support.namespaces import inside

INTERVAL = 0.002
REAL_SERVERS = ("rs1", "rs2", "rs3")


@pytest.fixture(scope="module", params=[Family.IPV4, Family.IPV6])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    topology = Topology(name=f"{NAME}full", forward=ForwardingMethod.FULLNAT, family=request.param)
    try:
        yield cluster.up(topology)
    finally:
        cluster.down(topology.name)


def drilled(lab: Lab, name: str) -> dict[str, Any]:
    done = drills.run_once(lab, drills.find(name), chance=random.Random(1), interval=INTERVAL)
    return score.document(name, [done])


def client_of(lab: Lab, kind: socket.SocketKind) -> socket.socket:
    """A socket on the client, connected to the echo."""
    family = socket.AF_INET if lab.topology.vip.version == 4 else socket.AF_INET6
    with inside(lab.topology.namespace("client")):
        sock = socket.socket(family, kind)
        sock.settimeout(5)
        sock.connect((str(lab.topology.vip), ECHO_PORT))
    return sock


def test_a_real_server_has_no_route_to_the_client(lab: Lab):
    for node in REAL_SERVERS:
        assert run(lab, node, "ip", "route", "show", "default") == ""
        assert run(lab, node, "ip", "-6", "route", "show", "default") == ""


def test_requests_are_spread_over_every_real_server(lab: Lab):
    pages = {lab.fetch(lab.topology.url) for _ in range(3)}
    assert pages == {f"real server {node}\n" for node in REAL_SERVERS}


def test_datagrams_are_answered_in_the_virtual_name(lab: Lab):
    names = set()
    for _ in range(3):
        with client_of(lab, socket.SOCK_DGRAM) as sock:
            sock.send(b"hello")
            name, said = sock.recv(100).split()
            assert said == b"hello"
            names.add(name.decode())
    assert names == set(REAL_SERVERS)


def test_a_long_connection_carries_much_in_both_directions_and_no_checksum_is_wrong(lab: Lab):
    nodes = ("client", *REAL_SERVERS)
    wrong = [run(lab, node, "nstat", "-asz", "TcpInCsumErrors") for node in nodes]
    with client_of(lab, socket.SOCK_STREAM) as sock, sock.makefile("rb") as answers:
        for number in range(500):
            line = b"%d " % number + bytes(random.Random(number).choices(b"0123456789", k=4000))
            sock.sendall(line + b"\n")
            assert answers.readline().partition(b" ")[2] == line + b"\n"
    assert [run(lab, node, "nstat", "-asz", "TcpInCsumErrors") for node in nodes] == wrong


def test_the_router_counts_both_directions_and_the_ports_it_has_given(lab: Lab):
    with client_of(lab, socket.SOCK_STREAM) as sock:
        sock.sendall(b"hello\n")
        assert sock.recv(100).endswith(b" hello\n")
        router = lab.router(lab.active())
        served = router.get("/v1/servers")
    assert served is not None
    www = next(each for each in served["virtual_servers"] if each["name"] == "echo-tcp")
    assert {each["method"] for each in www["real_servers"]} == {"fullnat"}
    assert sum(each["packets_out"] for each in www["real_servers"]) > 0


def test_the_ports_are_kept_from_the_routers_own_connections(lab: Lab):
    for node in lab.topology.routers:
        assert run(lab, node, "sysctl", "-n", "net.ipv4.ip_local_reserved_ports") == "1024-32767\n"


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
