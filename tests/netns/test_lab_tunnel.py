"""A whole lab through tunnels: what ``shoal lab up --forward tunnel --encap`` gives, and a drill on it."""

import random
import socket
from collections.abc import Iterator

import pytest

from shoal.lab import cluster, drills, score
from shoal.lab.cluster import Lab
from shoal.lab.networks import Family
from shoal.lab.texts import ECHO_PORT
from shoal.lab.topology import Topology
from shoal.model import Encapsulation, ForwardingMethod
from support.labs import NAME
from support.namespaces import inside

INTERVAL = 0.002
KINDS = [
    (Encapsulation.IPIP, Family.IPV4),
    (Encapsulation.GUE, Family.IPV4),
    (Encapsulation.GRE, Family.IPV6),
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(map(str, kind)))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    encap, family = request.param
    topology = Topology(name=f"{NAME}tun", forward=ForwardingMethod.TUNNEL, encap=encap, family=family)
    try:
        yield cluster.up(topology)
    finally:
        cluster.down(topology.name)


def client(lab: Lab, kind: socket.SocketKind) -> socket.socket:
    """A socket of the client, connected to the echo service."""
    address_family = socket.AF_INET if lab.topology.vip.version == 4 else socket.AF_INET6
    with inside(lab.topology.namespace("client")):
        sock = socket.socket(address_family, kind)
    sock.settimeout(5)
    sock.connect((str(lab.topology.vip), ECHO_PORT))
    return sock


def test_requests_are_spread_over_every_real_server(lab: Lab):
    pages = {lab.fetch(lab.topology.url) for _ in range(3)}
    assert pages == {"real server rs1\n", "real server rs2\n", "real server rs3\n"}


def test_datagrams_are_answered_in_the_virtual_name(lab: Lab):
    names = set()
    for _ in range(3):
        with client(lab, socket.SOCK_DGRAM) as sock:
            sock.send(b"hello")
            name, said = sock.recv(100).split()
            assert said == b"hello"
            names.add(name.decode())
    assert names == {"rs1", "rs2", "rs3"}


def test_the_routers_have_the_encapsulation_and_see_no_replies(lab: Lab):
    lab.fetch(lab.topology.url)
    served = lab.router(lab.active()).get("/v1/servers")
    assert served is not None
    www = next(each for each in served["virtual_servers"] if each["name"] == "www")
    assert {each["method"] for each in www["real_servers"]} == {"tunnel"}
    assert sum(each["packets_in"] for each in www["real_servers"]) > 0
    assert [each["packets_out"] for each in www["real_servers"]] == [0, 0, 0]


def test_many_long_lines_come_back_whole(lab: Lab):
    """Full segments: the client has to learn what size fits into the tunnel."""
    with client(lab, socket.SOCK_STREAM) as sock, sock.makefile("rb") as answers:
        for number in range(50):
            line = bytes([97 + number % 26]) * 30_000 + b"\n"
            sock.sendall(line)
            assert answers.readline().split()[1] == line.strip()


def test_a_failover_moves_the_tunnels_too(lab: Lab):
    before = lab.active()
    done = drills.run_once(lab, drills.find("kill-active"), chance=random.Random(1), interval=INTERVAL)
    document = score.document("kill-active", [done])
    assert document["moves"] == 1
    assert 0 < document["outage_ms"]["max"] < 1000
    assert lab.fetch(lab.topology.url).startswith("real server")
    assert lab.active() != before
