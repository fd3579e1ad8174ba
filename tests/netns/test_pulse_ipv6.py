"""The real pulse process with IPv6 alone: heartbeats, floating addresses, and what a client hears of them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.pulse_lab import IPV6, SUPPORT, Lab, Node, ip, pulse_lab, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")

HEAR = """
import sys
from shoal.lab.announcements import heard
from shoal.lab.claims import Listener
from shoal.lab.watcher import wait_readable
listener = Listener("eth0", version=6)
print("ready", flush=True)
ended = False
while not ended:
    _, ended = wait_readable([listener.sock], seconds=1.0)
    for _, mac, address in heard([listener]):
        print(mac, address, flush=True)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with pulse_lab(tmp_path, IPV6) as built:
        yield built


@pytest.fixture
def cluster(lab: Lab) -> tuple[Node, Node]:
    """Both routers run; lb1, the better one, is active."""
    lb1, lb2 = lab.nodes["lb1"], lab.nodes["lb2"]
    lb1.start()
    wait_for("lb1 active", lambda: lb1.is_in("active") and lb1.owns())
    lb2.start()
    wait_for("lb2 backup and heard", lambda: lb2.is_in("backup") and _hears_both_paths(lb1))
    return lb1, lb2


def _hears_both_paths(node: Node) -> bool:
    return node.role is not None and node.role.peers[0].paths_heard == ("private", "public")


class Client:
    """A host on a path that knows the floating address at the active router, and hears announcements."""

    def __init__(self, lab: Lab, path: str, address: str) -> None:
        self.namespace = f"{lab.mark}-c-{path}"
        ip("netns", "add", self.namespace)
        peer = ["type", "veth", "peer", "name", "eth0", "netns", self.namespace]
        ip("-n", lab.switch, "link", "add", f"client-{path}", "up", "master", path, *peer)
        ip("-n", self.namespace, "address", "add", address, "dev", "eth0", "nodad")
        ip("-n", self.namespace, "link", "set", "eth0", "up")
        self._watcher = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, sys.executable, "-c", HEAR],
            env={**os.environ, "PYTHONPATH": str(SUPPORT.parent.parent / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._watcher.stdout is not None
        assert self._watcher.stdout.readline() == "ready\n"

    def neighbour(self, address: str) -> str:
        """The MAC address that it knows for an address; empty without one."""
        words = ip("-n", self.namespace, "neigh", "show", address).split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""

    def ask(self, address: str) -> str:
        """Have the kernel resolve an address; the MAC address that it found."""
        send = (
            f"import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'', ('{address}', 9))"
        )
        command = ["ip", "netns", "exec", self.namespace, sys.executable, "-c", send]
        subprocess.run(command, check=True)
        wait_for(f"a neighbour entry of {address}", lambda: bool(self.neighbour(address)))
        return self.neighbour(address)

    def end(self) -> list[tuple[str, str]]:
        """What it heard: MAC address and address of each announcement."""
        said, _ = self._watcher.communicate(timeout=10)
        return [(mac, address) for mac, address in (line.split() for line in said.splitlines())]

    def close(self) -> None:
        """Remove it."""
        if self._watcher.poll() is None:
            self._watcher.kill()
        self._watcher.communicate()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False)


def _mac(node: Node, interface: str) -> str:
    words = ip("-n", node.namespace, "-o", "link", "show", interface).split()
    return words[words.index("link/ether") + 1]


@pytest.mark.parametrize(
    ("path", "interface", "own", "floating"),
    [("public", "pub", "2001:db8::99/64", "2001:db8::10"), ("private", "priv", "fd00:1::99/64", "fd00:1::1")],
)
def test_after_a_take_over_neighbours_send_to_the_new_router_because_it_says_so(
    lab: Lab, cluster: tuple[Node, Node], path: str, interface: str, own: str, floating: str
) -> None:
    lb1, lb2 = cluster
    with contextlib.closing(Client(lab, path, own)) as client:
        assert client.ask(floating) == _mac(lb1, interface)
        lb1.signal(signal.SIGKILL)
        wait_for("lb2 owns the addresses", lb2.owns)
        wait_for(
            "the client believes the announcement", lambda: client.neighbour(floating) == _mac(lb2, interface)
        )
        wait_for("a second burst", lambda: len(lb2.events("announce.sent")) > 1)
        heard = [mac for mac, address in client.end() if address == floating]
    assert len(heard) >= 2
    assert heard[-1] == _mac(lb2, interface)
    assert lb2.events("announce.sent")[0].cause == "unsolicited neighbour advertisements"


def test_the_backup_takes_over_within_the_dead_time(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lb1.signal(signal.SIGKILL)
    assert wait_for("lb2 owns the addresses", lb2.owns, timeout=2.0) < 0.6
    wait_for("its report", lambda: lb2.is_in("active"))
    assert lb2.lease()[2] == 2


def test_a_clean_stop_hands_over_and_leaves_the_fixed_addresses_alone(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lb1.signal(signal.SIGTERM)
    assert lb1.end() == 0
    assert lb2.owns()
    assert lb1.addresses() == {"2001:db8::11/64", "fd00:1::11/64"}


def test_a_killed_pulse_that_returns_knows_its_addresses_again(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lb2.signal(signal.SIGTERM)
    assert lb2.end() == 0
    lb1.signal(signal.SIGKILL)
    lb1.end()
    assert lb1.owns()
    lb1.records.clear()
    lb1.reports.clear()
    lb1.start()
    wait_for("active again", lambda: lb1.is_in("active"))
    assert lb1.events("router.init")[0].cause == "it held the addresses already"
    assert (lb1.events("address.added"), lb1.events("address.removed")) == ([], [])


def test_an_address_that_somebody_removes_is_put_back(cluster: tuple[Node, Node]) -> None:
    lb1, _ = cluster
    ip("-n", lb1.namespace, "address", "del", IPV6.vip, "dev", "pub")
    wait_for("the address is back", lb1.owns)


def test_an_interface_that_went_down_and_came_back_has_the_addresses_again(lab: Lab) -> None:
    """Unlike IPv4's, the kernel removes IPv6 addresses from an interface that is set down."""
    lb1 = lab.nodes["lb1"]
    lb1.start()
    wait_for("active", lambda: lb1.is_in("active") and lb1.owns())
    ip("-n", lb1.namespace, "link", "set", "pub", "down")
    ip("-n", lb1.namespace, "link", "set", "pub", "up")
    wait_for("the addresses are back", lambda: lb1.owns() and lb1.is_in("active"))
