"""One router's view of a configuration, its command line, and its reports."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from shoal import config
from shoal.errors import ConfigError
from shoal.ipc.messages import PeerView
from shoal.model import RouterState
from shoal.pulse import events
from shoal.pulse.election import Election
from shoal.pulse.nouns import Flag, Heartbeat, Report
from shoal.pulse.options import parse_options
from shoal.pulse.roles import COMPLAINT_GAP, RejectionLog, role_report
from shoal.pulse.topology import topology_of
from support.pulse_lab import CONFIG

CLUSTER = config.parse(CONFIG, source="test")


def test_peers_are_the_other_routers_and_reached_at_their_fixed_addresses() -> None:
    topology = topology_of(CLUSTER, "lb1")
    assert topology.settings.peers == (("lb2", 100),)
    assert topology.settings.priority == 110
    assert topology.settings.paths == ("public", "private")
    assert topology.addresses == {
        ("lb2", "public"): IPv4Address("192.0.2.12"),
        ("lb2", "private"): IPv4Address("10.0.1.12"),
    }
    assert topology.peer_at("private", IPv4Address("10.0.1.12")) == "lb2"
    assert topology.peer_at("public", IPv4Address("10.0.1.12")) is None
    assert topology.settings.config_digest == CLUSTER.digest[:16]


def test_a_router_that_is_not_configured_is_the_operators_mistake() -> None:
    with pytest.raises(ConfigError, match="no router is named 'lb3'") as refused:
        topology_of(CLUSTER, "lb3")
    assert refused.value.fix == "one of: lb1, lb2"


def test_without_routers_there_is_only_this_one_whatever_its_name() -> None:
    alone = config.parse("[paths.public]\ninterface = 'lo'\n", source="test")
    topology = topology_of(alone, "anything")
    assert topology.settings.peers == ()
    assert topology.router is alone.routers[0]


def test_sessions_go_on_unless_what_they_authenticate_changed() -> None:
    faster = config.parse(CONFIG.replace("priority = 110", "priority = 120"), source="test")
    other_key = config.parse(CONFIG.replace("a key of", "another key of"), source="test")
    before = topology_of(CLUSTER, "lb1").authenticates_like
    assert topology_of(faster, "lb1").authenticates_like == before
    assert topology_of(other_key, "lb1").authenticates_like != before


def test_the_command_line_is_that_of_the_supervisor() -> None:
    options = parse_options(
        ["--config", "/c", "--router", "lb1", "--run-dir", "/r", "--state-dir", "/s", "--bpf-dir", "/b"]
    )
    assert (options.config, options.router, options.realtime_priority) == (Path("/c"), "lb1", 50)
    assert options.places.arguments() == ["--run-dir", "/r", "--state-dir", "/s", "--bpf-dir", "/b"]


UNKNOWN = PeerView(
    name="lb2", state="unknown", priority=0, epoch=0, paths_heard=(), config_serial=0, config_digest=""
)


def test_the_role_report_says_what_is_known_of_every_peer() -> None:
    election = Election(topology_of(CLUSTER, "lb1").settings)
    links = (("public", True), ("private", False))
    election.handle(events.Start(holding=False, links=links, dataplane_ready=True), now=1.0)
    silent = role_report(election, since=5.0, addresses=(), rejected={})
    assert silent.peers == (UNKNOWN,)
    said = Report(
        state=RouterState.BACKUP,
        flags=Flag(0),
        priority=9,
        epoch=3,
        links=(True, True),
        config_serial=4,
        config_digest=b"\xab" * 16,
    )
    heartbeat = Heartbeat(
        sender="lb2", session=1, echo=1, sequence=1, path="public", stamp_ns=1, loss=0, report=said
    )
    election.handle(events.HeartbeatReceived(heartbeat=heartbeat), now=1.1)
    report = role_report(election, since=5.0, addresses=("192.0.2.10",), rejected={"bad_mac": 2})
    assert report.links == {"private": False, "public": True}
    assert (report.addresses, report.rejected, report.since) == (("192.0.2.10",), {"bad_mac": 2}, 5.0)
    assert report.peers == (
        PeerView(
            name="lb2",
            state="backup",
            priority=9,
            epoch=3,
            paths_heard=("public",),
            config_serial=4,
            config_digest="ab" * 16,
        ),
    )


def test_one_complaint_in_ten_seconds_for_each_reason() -> None:
    log = RejectionLog()
    assert [log.due("bad_mac", 0.0), log.due("bad_mac", 9.9), log.due("replayed", 9.9)] == [True, False, True]
    assert log.due("bad_mac", COMPLAINT_GAP)
