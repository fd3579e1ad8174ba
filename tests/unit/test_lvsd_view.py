"""What lvsd shows."""

from dataclasses import replace
from ipaddress import IPv6Address

import msgspec
import pytest

from shoal.dataplane.base import Counters
from shoal.ipc.messages import PeerView, RoleReport
from shoal.lvsd.view import alarms, connection, servers, status
from shoal.model import ForwardingMethod
from support.clusters import cluster
from support.memory_dataplane import CONNECTION
from support.snapshots import NOW, PEER, ROLE, snapshot, target


def role(**changes: object) -> RoleReport:
    return msgspec.structs.replace(ROLE, **changes)


def peer(**changes: object) -> PeerView:
    return msgspec.structs.replace(PEER, **changes)


def test_a_router_that_does_well_has_no_alarm() -> None:
    assert alarms(snapshot()) == ()


def test_status_shows_the_role_as_pulse_reported_it() -> None:
    shown = status(snapshot())
    assert (shown.router, shown.state, shown.epoch, shown.since) == ("lb1", "active", 3, NOW - 90)
    assert shown.links == {"public": True, "private": True}
    assert shown.addresses == ("192.0.2.10/32",)
    assert shown.peers == (PEER,)
    assert shown.heartbeats_rejected == {"replayed": 2}


def test_servers_show_the_scheduler_and_its_flags() -> None:
    flagged = replace(cluster().virtual_servers[0], scheduler="mh", scheduler_flags=("mh-port",))
    (shown,) = servers(snapshot(cluster=replace(cluster(), virtual_servers=(flagged,)))).virtual_servers
    assert (shown.scheduler, shown.scheduler_flags) == ("mh", ("mh-port",))


def test_before_pulse_has_spoken_the_state_is_init() -> None:
    shown = status(snapshot(role=None))
    assert (shown.state, shown.epoch, shown.peers) == ("init", 0, ())


def test_drops_of_the_dataplane_include_those_of_every_virtual_server() -> None:
    assert status(snapshot()).dataplane.drops == {"no_real_server": 3, "fragment_without_first": 4}


def test_status_names_every_attachment_and_why_it_has_that_hook() -> None:
    shown = status(snapshot()).dataplane
    assert [(each.interface, each.hook, each.reason) for each in shown.attachments] == [
        ("eth0", "tc", "a veth has no native XDP")
    ]


def test_each_real_server_is_shown_with_the_method_by_which_packets_reach_it() -> None:
    (www,) = cluster().virtual_servers[:1]
    first, second = www.real_servers[:2]
    mixed = replace(www, real_servers=(first, replace(second, method=ForwardingMethod.DR)))
    shown = servers(snapshot(cluster=replace(cluster(), virtual_servers=(mixed,)))).virtual_servers[0]
    assert shown.method == "nat"
    assert [each.method for each in shown.real_servers] == ["nat", "dr"]


def test_a_real_server_is_shown_with_its_health_and_its_counters() -> None:
    first, second = servers(snapshot()).virtual_servers[0].real_servers
    assert (first.name, first.health, first.since, first.active, first.inactive) == (
        "10.0.1.21:80",
        "up",
        NOW - 60,
        1,
        2,
    )
    counted = (first.connections, first.packets_in, first.bytes_in, first.packets_out, first.bytes_out)
    assert counted == (3, 4, 5, 6, 7)
    assert (second.health, second.reason, second.connections) == ("down", "HTTP 503, expected 200-399", 0)


def test_a_real_server_that_nanny_has_not_spoken_of_is_unknown() -> None:
    first = servers(snapshot(health={})).virtual_servers[0].real_servers[0]
    assert (first.health, first.reason, first.since) == ("unknown", "not checked yet", 0.0)


def test_a_virtual_server_says_whether_the_dataplane_has_it() -> None:
    assert [each.installed for each in servers(snapshot()).virtual_servers] == [False]


@pytest.mark.parametrize(
    ("peers", "alarm"),
    [
        ((peer(paths_heard=()),), "peer lb2 is silent on every path"),
        ((peer(paths_heard=("public",)),), "peer lb2 is silent on path private"),
        (
            (peer(config_digest="00" * 16, config_serial=6),),
            "peer lb2 has another configuration (serial 6, here 7)",
        ),
    ],
)
def test_a_peer_that_is_not_as_it_should_be_raises_an_alarm(peers: tuple[PeerView, ...], alarm: str) -> None:
    assert alarms(snapshot(role=role(peers=peers))) == (alarm,)


def test_a_link_that_is_down_and_a_fault_raise_alarms() -> None:
    shown = snapshot(role=role(state="fault", links={"public": False, "private": True}))
    assert alarms(shown) == ("this router is in fault", "the link of path public is down")


def test_a_virtual_server_without_a_real_server_that_is_up_raises_an_alarm() -> None:
    down = {("www", "10.0.1.21:80"): target("10.0.1.21:80", "down")}
    assert alarms(snapshot(health=down)) == ("no real server of www is up",)


def test_a_child_that_is_away_raises_an_alarm() -> None:
    assert alarms(snapshot(children={"pulse": True, "nanny": False})) == ("nanny is not connected",)


def test_a_connection_table_that_is_nearly_full_raises_an_alarm() -> None:
    counters = Counters(connections_held=950, connections_limit=1000)
    assert alarms(snapshot(counters=counters)) == ("the connection table holds 950 of 1000",)
    counters = Counters(connections_limit=1000, ipv6_connections_held=95, ipv6_connections_limit=100)
    assert alarms(snapshot(counters=counters)) == ("the IPv6 connection table holds 95 of 100",)


def test_a_connection_over_ipv6_is_shown_with_brackets() -> None:
    client, virtual, real = (IPv6Address(f"2001:db8:{n}::7") for n in range(3))
    shown = connection(replace(CONNECTION, client=(client, 40000), virtual=(virtual, 80), real=(real, 8080)))
    assert (shown.client, shown.virtual, shown.real) == (
        "[2001:db8::7]:40000",
        "[2001:db8:1::7]:80",
        "[2001:db8:2::7]:8080",
    )


def test_trouble_of_the_shell_is_shown_as_it_is() -> None:
    assert alarms(snapshot(trouble=("journal: no space",))) == ("journal: no space",)


def test_a_router_alone_shows_its_cluster_and_has_no_peers() -> None:
    alone = replace(snapshot(), cluster=cluster(), role=role(peers=()), router="this")
    shown = status(alone)
    assert (shown.cluster, shown.peers, shown.alarms) == ("shoal", (), ())
