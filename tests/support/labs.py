"""Labs for tests: named by the test process, without Shoal's routers unless a test starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from shoal.lab import cluster, namespaces
from shoal.lab.cluster import Lab
from shoal.lab.topology import GATEWAY, VIP, Topology

NAME = f"t{os.getpid()}"


@contextmanager
def built(topology: Topology) -> Iterator[Lab]:
    """A lab whose routers run nothing; gone afterwards, whatever happened."""
    try:
        yield cluster.build(topology)
    finally:
        cluster.down(topology.name)


def run(lab: Lab, node: str, *command: str) -> str:
    """Run a program on a node; its output. It must succeed."""
    done = namespaces.run(lab.topology.namespace(node), command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def serve_by_hand(lab: Lab, router: str) -> None:
    """Make a router forward to rs1 with plain nftables, floating addresses included."""
    run(lab, router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    to = lab.topology.address("rs1")
    rules = "add table ip by_hand; add chain ip by_hand pre { type nat hook prerouting priority -100; };"
    run(lab, router, "nft", f"{rules} add rule ip by_hand pre ip daddr {VIP} dnat to {to}")
    hold(lab, router)


def hold(lab: Lab, router: str) -> None:
    """Give a router the floating addresses."""
    lines = [f"addr add {VIP}/32 dev eth0", f"addr add {GATEWAY} dev eth1"]
    namespaces.batch(lines, namespace=lab.topology.namespace(router))


def wait_for_echo(lab: Lab) -> None:
    """Wait until rs1 answers on its echo port (bash opens the connection)."""
    to = lab.topology.address("rs1")
    attempt = f"(exec 3<>/dev/tcp/{to}/7) 2>/dev/null && exit 0"
    run(lab, "lb1", "bash", "-c", f"for i in $(seq 200); do {attempt}; sleep 0.02; done; exit 1")
