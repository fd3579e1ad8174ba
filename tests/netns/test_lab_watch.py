"""The watchers, over routers that forward by hand: what they report is what was done."""

import re
import time
from collections.abc import Iterator
from ipaddress import ip_interface

import pytest

from shoal.errors import UnavailableError
from shoal.lab import measure, nodes
from shoal.lab.cluster import Lab
from shoal.lab.networks import Bridge, Family
from shoal.lab.observe import CONNECTIONS, watching
from shoal.lab.topology import Topology
from shoal.model import endpoint
from support.labs import NAME, built, hold, run, serve_by_hand, wait_for_echo

ANNOUNCE = """
import sys
from ipaddress import ip_address
from shoal.system.announcer import Announcer
from shoal.system.rtnetlink import Netlink
mac = next(link.mac for link in Netlink().links() if link.name == "eth0")
Announcer().announce(interface="eth0", mac=mac, addresses=[ip_address(sys.argv[1])])
"""


@pytest.fixture(params=list(Family))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    topology = Topology(name=f"{NAME}w", router_count=2, real_server_count=1, family=request.param)
    with built(topology) as it:
        serve_by_hand(it, "lb1")
        wait_for_echo(it)
        yield it


def test_a_quiet_lab_loses_nothing_and_has_one_owner(lab: Lab):
    with watching(lab, requests=True) as watch:
        time.sleep(0.5)
    seen = watch.observation
    assert measure.lost(seen.samples) == 0
    assert len(seen.samples) > 100
    assert {sample.server for sample in seen.samples} == {"rs1"}
    assert [row["broken"] for row in seen.connections] == [""] * CONNECTIONS
    assert min(row["lines"] for row in seen.connections) > 3
    owner = lab.topology.port("lb1", Bridge.PUBLIC).mac
    assert {question.owners for question in seen.questions} == {(owner,)}
    assert {(row[2], row[3]) for row in seen.requests} == {("real server rs1", "")}
    assert seen.announcements == ()


def test_a_cut_cable_is_an_outage_as_long_as_the_cut(lab: Lab):
    with watching(lab) as watch:
        cutter = nodes.CableCutter(lab.topology, "lb1", paths=("public",))
        cut = time.monotonic()
        cutter.cut()
        cutter.close()
        time.sleep(0.3)
        nodes.mend_cables(lab.topology, "lb1")
        mended = time.monotonic()
        time.sleep(0.5)
    outage = measure.longest_outage(watch.observation.samples)
    assert 0.3 <= outage <= mended - cut + 0.2
    assert measure.lost(watch.observation.samples) > 50


def test_two_owners_are_noticed_for_as_long_as_there_are_two(lab: Lab):
    with watching(lab) as watch:
        begun = time.monotonic()
        hold(lab, "lb2")
        time.sleep(0.2)
        run(lab, "lb2", "ip", "address", "del", str(ip_interface(lab.topology.vip)), "dev", "eth0")
        ended = time.monotonic()
        time.sleep(0.1)
    twice = measure.owned_twice(watch.observation.questions)
    assert 0.2 <= twice <= ended - begun + 0.02


def test_an_announcement_is_heard_with_its_sender(lab: Lab):
    with watching(lab) as watch:
        source = nodes.environment()["PYTHONPATH"]
        run(lab, "lb2", "env", f"PYTHONPATH={source}", "python3", "-c", ANNOUNCE, str(lab.topology.vip))
        time.sleep(0.1)
    mac = lab.topology.port("lb2", Bridge.PUBLIC).mac
    assert [(sender, address) for _, sender, address in watch.observation.announcements] == [
        (mac, str(lab.topology.vip))
    ]


def test_a_watcher_that_cannot_start_says_why_and_leaves_nobody_behind(lab: Lab):
    run(lab, "lb1", "ip", "link", "set", "eth1", "down")
    where = re.escape(f"cannot connect to {endpoint(lab.topology.vip, 7)}")
    with pytest.raises(UnavailableError, match=where), watching(lab):
        pytest.fail("watching without a connection")
    assert lab.processes("client") == []
