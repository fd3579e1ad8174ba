"""Labs for tests: named by the test process, without Shoal's routers unless a test starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface

from shoal.lab import cluster, namespaces
from shoal.lab.cluster import Lab
from shoal.lab.topology import Topology

NAME = f"t{os.getpid()}"
_NFT_FAMILY = {4: ("ip", "ipv4/ip_forward"), 6: ("ip6", "ipv6/conf/all/forwarding")}


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
    to, vip = lab.topology.address("rs1"), lab.topology.vip
    ip, forwarding = _NFT_FAMILY[vip.version]
    run(lab, router, "sh", "-c", f"echo 1 >/proc/sys/net/{forwarding}")
    rules = (
        f"add table {ip} by_hand; add chain {ip} by_hand pre {{ type nat hook prerouting priority -100; }};"
    )
    run(lab, router, "nft", f"{rules} add rule {ip} by_hand pre {ip} daddr {vip} dnat to {to}")
    hold(lab, router)


def hold(lab: Lab, router: str) -> None:
    """Give a router the floating addresses."""
    vip, gateway = ip_interface(lab.topology.vip), lab.topology.gateway
    nodad = " nodad" if gateway.version == 6 else ""
    lines = [f"addr add {vip} dev eth0{nodad}", f"addr add {gateway} dev eth1{nodad}"]
    namespaces.batch(lines, namespace=lab.topology.namespace(router))


def wait_for_echo(lab: Lab) -> None:
    """Wait until rs1 answers on its echo port (bash opens the connection)."""
    to = lab.topology.address("rs1")
    attempt = f"(exec 3<>/dev/tcp/{to}/7) 2>/dev/null && exit 0"
    run(lab, "lb1", "bash", "-c", f"for i in $(seq 200); do {attempt}; sleep 0.02; done; exit 1")
