"""Masquerading: what real servers reach through the router, and under whose address; what is nobody else's business."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.config import parse
from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.lvsd.masquerading import rules
from shoal.model import ForwardingMethod, Hook, Listener, Protocol
from shoal.system.nftables import OwnTable
from support.namespaces import CLIENT, ROUTER, SERVERS, VIP, Wires, bpffs, inside, run, wires

CLIENT6, ROUTER6, GATEWAY6, SERVER6 = "2001:db8:1::10", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:2::21"
THIRD = "203.0.113.1"
CONFIG = f"""
[paths.public]
interface = "eth0"

[paths.private]
interface = "eth1"
gateway = "198.19.0.1/24"
masquerade = true

[[routers]]
name = "lb1"
public = "{ROUTER}"
private = "198.19.0.2"

[[virtual_servers]]
name = "www"
listen = ["{VIP}:80/tcp"]
real_servers = ["198.19.0.21:80"]
"""
OBJECTS = rules(parse(CONFIG, source="f"), router="lb1")


@pytest.fixture
def site() -> Iterator[Wires]:
    """Two networks and a router that forwards, and no route back from the clients' side to the servers'."""
    with wires("smq") as names:
        yield names


def fetch(site: Wires, *, source: str, at: str, family: socket.AddressFamily = socket.AF_INET) -> str:
    """A real server connects to a server on the clients' side, which says whom it sees."""
    with inside(site.client):
        server = socket.create_server((at, 8000), family=family)
    with inside(site.server):
        client = socket.socket(family, socket.SOCK_STREAM)
    with server, client:
        for each in (server, client):
            each.settimeout(5)
        client.bind((source, 0))
        client.connect((at, 8000))
        accepted, seen = server.accept()
        with accepted:
            accepted.sendall(seen[0].encode())
            return client.recv(100).decode()


def ruleset(namespace: str) -> list[dict[str, object]]:
    listed = json.loads(run(f"ip netns exec {namespace} nft -j list ruleset"))["nftables"]
    return [each for each in listed if "metainfo" not in each]


def keep(namespace: str, wanted: object = OBJECTS) -> bool:
    with inside(namespace):
        return OwnTable("shoal").keep(wanted)  # type: ignore[arg-type]


def test_a_real_server_fetches_from_outside_under_the_routers_own_address(site: Wires):
    keep(site.router)
    assert fetch(site, source=str(SERVERS[0]), at=str(CLIENT)) == str(ROUTER)


def test_without_the_rules_its_own_address_arrives(site: Wires):
    run(f"ip -n {site.client} route add 198.19.0.0/24 via {ROUTER}")
    assert fetch(site, source=str(SERVERS[0]), at=str(CLIENT)) == str(SERVERS[0])


def test_ipv6_goes_under_the_address_that_the_kernel_chooses(site: Wires):
    for name, address, link in (
        (site.client, CLIENT6, "eth0"),
        (site.router, ROUTER6, "eth0"),
        (site.router, GATEWAY6, "eth1"),
        (site.server, SERVER6, "eth0"),
    ):
        run(f"ip -n {name} address add {address}/64 dev {link} nodad")
    run(f"ip -n {site.server} route add default via {GATEWAY6}")
    run(f"ip netns exec {site.router} sysctl -qw net.ipv6.conf.all.forwarding=1")
    chain, rule = OBJECTS
    text = json.dumps(rule).replace('"ip"', '"ip6"').replace("198.19.0.0", "2001:db8:2::")
    expression = json.loads(text.replace('"len": 24', '"len": 64'))
    expression["rule"]["expr"][-1] = {"masquerade": None}
    assert keep(site.router, (chain, expression))
    assert not keep(site.router, (chain, expression))
    assert fetch(site, source=SERVER6, at=CLIENT6, family=socket.AF_INET6) == ROUTER6


def test_networks_that_are_not_behind_the_public_path_see_the_real_server_itself(site: Wires):
    """The third network is another interface of the router."""
    other = f"{site.client}-third"
    run(f"ip netns add {other} && ip -n {other} link set lo up")
    try:
        run(f"ip link add eth2 netns {site.router} type veth peer name eth0 netns {other}")
        run(f"ip -n {site.router} address add 203.0.113.254/24 dev eth2")
        run(f"ip -n {other} address add {THIRD}/24 dev eth0")
        for name, link in ((site.router, "eth2"), (other, "eth0")):
            run(f"ip -n {name} link set {link} up")
        run(f"ip -n {other} route add 198.19.0.0/24 via 203.0.113.254")
        keep(site.router)
        beyond = Wires(client=other, router=site.router, server=site.server)
        assert fetch(beyond, source=str(SERVERS[0]), at=THIRD) == str(SERVERS[0])
    finally:
        run(f"ip netns del {other}")


@pytest.fixture
def balanced(site: Wires, tmp_path: Path) -> Iterator[Wires]:
    """A virtual server on the router, too."""
    service = Service(
        name="www",
        listeners=(Listener(address=VIP, port=80, protocol=Protocol.TCP),),
        scheduler="rr",
        method=ForwardingMethod.NAT,
        destinations=(Destination(address=SERVERS[0], port=8080, weight=1),),
    )
    with bpffs(tmp_path) as folder:
        with inside(site.router):
            dataplane = EbpfDataplane.open(folder / "pins", max_connections=4096)
            dataplane.attach(find_interfaces(["eth0", "eth1"]), Hook.AUTO)
            dataplane.apply([PutService(service=service)])
        yield site
        with inside(site.router):
            dataplane.remove()


def test_the_replies_of_balanced_connections_are_not_caught(balanced: Wires):
    """The client gets its answer from the virtual address; the real server fetches outside at the same time."""
    keep(balanced.router)
    with inside(balanced.server):
        server = socket.create_server((str(SERVERS[0]), 8080))
    with inside(balanced.client):
        client = socket.socket()
    with server, client:
        client.settimeout(5)
        server.settimeout(5)
        client.connect((str(VIP), 80))
        accepted, seen = server.accept()
        with accepted:
            assert seen[0] == str(CLIENT)
            assert fetch(balanced, source=str(SERVERS[0]), at=str(CLIENT)) == str(ROUTER)
            accepted.sendall(b"answer")
            assert client.recv(100) == b"answer"
            assert client.getpeername()[0] == str(VIP)


def test_the_rules_are_kept_true_and_those_of_others_are_not_touched(site: Wires):
    nft = f"ip netns exec {site.router} nft"
    run(f"{nft} add table inet theirs && {nft} add chain inet theirs input")
    theirs = ruleset(site.router)
    assert keep(site.router)
    assert not keep(site.router), "what a predecessor left is taken as it is"
    run(f"{nft} flush chain inet shoal outbound")
    assert keep(site.router)
    run(f"{nft} add rule inet shoal outbound oifname eth0 drop")
    assert keep(site.router)
    assert not keep(site.router)
    assert keep(site.router, ())
    assert not keep(site.router, ())
    assert ruleset(site.router) == theirs


def lvsd(site: Wires, folder: Path, *more: str) -> "subprocess.Popen[str]":
    """The daemon itself on the router, over the eBPF dataplane."""
    places = ["--run-dir", folder / "run", "--state-dir", folder / "state", "--bpf-dir", folder / "bpf/shoal"]
    command = [
        sys.executable,
        "-m",
        "shoal.api",
        "--config",
        folder / "shoal.toml",
        "--router",
        "lb1",
        *places,
    ]
    with inside(site.router):
        return subprocess.Popen([*map(str, command), *more], stderr=subprocess.PIPE, text=True)


def until(holds: Callable[[], bool]) -> None:
    """Wait for it, a while at most."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_the_rules_outlive_a_killed_daemon_and_go_with_a_clean_stop(site: Wires, tmp_path: Path):
    (tmp_path / "bpf").mkdir()
    (tmp_path / "run").mkdir()
    file = tmp_path / "shoal.toml"
    file.write_text(
        CONFIG.replace("[[routers]]", '[cluster]\nkey = "sixteen characters or more"\n[[routers]]')
    )
    journal = tmp_path / "state/journal.jsonl"
    with bpffs(tmp_path / "bpf"):
        first = lvsd(site, tmp_path)
        try:
            until(lambda: len(ruleset(site.router)) == 3)
            assert fetch(site, source=str(SERVERS[0]), at=str(CLIENT)) == str(ROUTER)
        finally:
            first.kill()
            first.communicate()
        second = lvsd(site, tmp_path)
        try:
            until(lambda: journal.read_text().count('"lvsd.started"') == 2)
            assert fetch(site, source=str(SERVERS[0]), at=str(CLIENT)) == str(ROUTER)
        finally:
            second.terminate()
            _, said = second.communicate(timeout=20)
        assert second.returncode == 0, said
        assert journal.read_text().count('"masquerading.put"') == 1
        remover = lvsd(site, tmp_path, "--remove-dataplane")
        _, said = remover.communicate(timeout=20)
        assert remover.returncode == 0, said
        assert ruleset(site.router) == []
