"""The real pulse process: real sockets, real addresses, real signals."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.pulse_lab import GATEWAY, VIP, Lab, Node, ip, pulse_lab, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with pulse_lab(tmp_path) as built:
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


def test_the_backup_takes_over_when_the_active_is_killed_and_the_lease_ran_out_before(
    cluster: tuple[Node, Node],
) -> None:
    lb1, lb2 = cluster
    assert lb2.owns() is False
    lb1.signal(signal.SIGKILL)
    took = wait_for("lb2 owns the addresses", lb2.owns, timeout=2.0)
    assert took < 0.6  # dead time 0.3 s, and what two noisy cores add
    lease_end = lb1.lease()[0] / 1e9
    wait_for("its report", lambda: lb2.is_in("active"))
    claimed = lb2.events("router.active")[0]
    boot_to_unix = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert lease_end + boot_to_unix <= claimed.at
    assert claimed.cause == "no router is active, lb1 silent"
    assert lb1.owns()  # nobody removed them: the lease is what makes the dead one let go


def test_a_clean_stop_hands_over_before_it_lets_go(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lb1.signal(signal.SIGTERM)
    assert lb1.end() == 0
    assert lb2.owns()
    assert not lb1.owns()
    wait_for("its record", lambda: bool(lb2.events("router.active")))
    assert lb2.events("router.active")[0].cause == "lb1 hands over: it stops"


def test_a_killed_pulse_that_returns_resumes_without_touching_the_addresses(
    cluster: tuple[Node, Node],
) -> None:
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
    assert lb1.owns()
    assert lb1.events("router.init")[0].cause == "it held the addresses already"
    assert lb1.events("address.added") == []
    assert lb1.events("address.removed") == []


def test_a_killed_pulse_that_returns_too_late_gives_the_addresses_up(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lb1.signal(signal.SIGKILL)
    lb1.end()
    wait_for("lb2 active", lambda: lb2.is_in("active"))
    assert lb1.owns()
    lb1.reports.clear()
    lb1.start()
    wait_for("lb1 backup", lambda: lb1.is_in("backup"))
    assert lb1.addresses() == {"192.0.2.11/24", "10.0.1.11/24"}
    assert lb2.owns()


def test_a_pulled_cable_moves_the_addresses_at_once(lab: Lab, cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lab.cable("lb1", "pub", "down")
    took = wait_for("lb2 owns the addresses", lb2.owns, timeout=2.0)
    assert took < 0.25  # a message, not a timeout: below the dead time
    wait_for("lb1 let go", lambda: not lb1.owns())
    wait_for("its record", lambda: bool(lb2.events("router.active")))
    assert lb2.events("router.active")[0].cause == "lb1 lost a link, this router has more"
    links = {"private": True, "public": False}
    wait_for("lb1 reports its links", lambda: lb1.role is not None and lb1.role.links == links)


def test_a_stopped_process_finds_itself_replaced_when_it_goes_on(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lb1.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    wait_for("lb2 active, and long enough", lambda: lb2.is_in("active") and time.monotonic() > stopped + 1.0)
    lb1.signal(signal.SIGCONT)
    wait_for("lb1 backup", lambda: lb1.is_in("backup"))
    assert not lb1.owns()
    wait_for("its record", lambda: bool(lb1.events("router.woke")))
    assert lb2.is_in("active")


def test_the_operator_moves_the_addresses_and_hears_why_not(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    refused = lb1.failover(1, to="lb9")
    assert (refused.accepted, refused.problem, refused.fix) == (
        False,
        "no other router is named 'lb9'",
        "other routers: lb2",
    )
    assert lb1.failover(2).accepted
    wait_for("lb2 owns, lb1 does not", lambda: lb2.owns() and not lb1.owns())
    wait_for("lb1 backup", lambda: lb1.is_in("backup"))
    assert lb1.failover(3).problem == "router 'lb1' is backup, it has nothing to hand over"


def test_an_address_that_somebody_removes_is_put_back(cluster: tuple[Node, Node]) -> None:
    lb1, _ = cluster
    ip("-n", lb1.namespace, "address", "del", VIP, "dev", "pub")
    wait_for("the address is back", lb1.owns)


def test_an_address_of_the_operator_is_served_and_left_alone(lab: Lab) -> None:
    lb1 = lab.nodes["lb1"]
    ip("-n", lb1.namespace, "address", "add", VIP, "dev", "pub")
    lb1.start()
    wait_for("active", lambda: lb1.is_in("active") and lb1.owns())
    wait_for("its record", lambda: bool(lb1.events("address.foreign")))
    lb1.signal(signal.SIGTERM)
    assert lb1.end() == 0
    assert VIP in lb1.addresses()
    assert GATEWAY not in lb1.addresses()


def test_a_router_without_a_dataplane_waits_and_serves_when_it_appears(lab: Lab) -> None:
    lb1 = lab.nodes["lb1"]
    lb1.remove_dataplane()
    lb1.start()
    wait_for("fault", lambda: lb1.is_in("fault"))
    wait_for("its record", lambda: bool(lb1.events("router.fault")))
    assert lb1.events("router.fault")[0].cause == "dataplane not ready"
    assert not lb1.owns()
    lb1.install_dataplane()
    wait_for("active", lambda: lb1.is_in("active") and lb1.owns())
    assert lb1.lease()[2] == 2


def test_an_active_router_whose_dataplane_vanishes_leaves_the_service_to_its_peer(
    cluster: tuple[Node, Node],
) -> None:
    lb1, lb2 = cluster
    lb1.remove_dataplane()
    wait_for("lb2 owns", lambda: lb2.owns() and not lb1.owns())
    wait_for("fault", lambda: lb1.is_in("fault"))


def test_a_reload_with_mistakes_changes_nothing_and_says_so(cluster: tuple[Node, Node]) -> None:
    lb1, _ = cluster
    lb1.config.write_text("nonsense = 1")
    lb1.signal(signal.SIGHUP)
    wait_for("the refusal", lambda: bool(lb1.events("config.refused")))
    assert lb1.is_in("active")
    assert lb1.owns()


def test_a_reload_adds_and_removes_addresses_while_the_router_serves(cluster: tuple[Node, Node]) -> None:
    lb1, _ = cluster
    lb1.config.write_text(lb1.config.read_text().replace("192.0.2.10:80", "192.0.2.20:80"))
    lb1.signal(signal.SIGHUP)
    wait_for("the new address", lambda: "192.0.2.20/32" in lb1.addresses() and VIP not in lb1.addresses())
    assert lb1.is_in("active")
    assert len(lb1.events("router.active")) == 1


def test_a_returning_lvsd_hears_the_role_and_every_record_meanwhile(cluster: tuple[Node, Node]) -> None:
    lb1, lb2 = cluster
    lb1.listen()
    lb1.hang_up()
    lb1.reports.clear()
    lb2.signal(signal.SIGTERM)
    assert lb2.end() == 0
    wait_for("connected again", lambda: lb1.is_in("active") and lb1.connections == 2)
    wait_for("what happened", lambda: bool(lb1.events("peer.lost")))
    assert lb1.events("peer.lost")[0].cause == "it stopped"


def test_a_second_pulse_at_the_same_place_is_refused(cluster: tuple[Node, Node]) -> None:
    lb1, _ = cluster
    first = lb1.process
    lb1.start()
    assert lb1.end() == 69
    lb1.process = first
    assert lb1.owns()


def test_a_router_without_peers_serves_at_once_with_the_lease_off(lab: Lab) -> None:
    lb1 = lab.nodes["lb1"]
    lb1.config.write_text(
        "[paths.public]\ninterface = 'pub'\n"
        "[[virtual_servers]]\nname = 'www'\nlisten = ['192.0.2.10:80/tcp']\nreal_servers = ['10.0.1.21:80']\n"
    )
    lb1.start()
    wait_for("active", lambda: lb1.is_in("active") and VIP in lb1.addresses())
    assert lb1.lease()[0] == 0
    lb1.signal(signal.SIGTERM)
    assert lb1.end() == 0
    assert VIP not in lb1.addresses()
