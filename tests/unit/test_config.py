"""The configuration file: what it means, and what a wrong one is answered with."""

from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from shoal import config
from shoal.model import (
    FloatingAddress,
    Hook,
    HttpProbe,
    Monitor,
    ProgramProbe,
    RealServer,
    Router,
    SendExpectProbe,
    TcpProbe,
)
from support.configs import FULL, SMALL, swap

# -- what a file means


def test_the_smallest_file_gives_one_router_and_the_defaults():
    cluster = config.parse(SMALL, source="f")
    assert cluster.routers == (Router(name="this", priority=100, addresses=()),)
    assert (cluster.name, cluster.serial, cluster.key) == ("shoal", 0, b"")
    assert (cluster.heartbeat_port, cluster.heartbeat_interval, cluster.dead_time) == (5390, 0.1, 0.3)
    assert (cluster.hook, cluster.max_connections) == (Hook.AUTO, 262_144)
    (server,) = cluster.virtual_servers
    assert (server.scheduler, server.method) == ("wlc", "nat")
    assert server.monitor == Monitor(probe=TcpProbe(), interval=1.0, timeout=1.0, rise=2, fall=2, port=0)
    assert server.real_servers[0] == RealServer(
        name="10.0.1.21:80", address=IPv4Address("10.0.1.21"), port=80, weight=1
    )


def test_the_smallest_file_is_under_fifteen_lines():
    assert len(SMALL.splitlines()) < 15


def test_every_key_of_a_full_file_reaches_the_cluster():
    cluster = config.parse(FULL, source="f")
    assert (cluster.name, cluster.serial, cluster.key) == ("web", 7, b"sixteen characters or more")
    assert (cluster.heartbeat_port, cluster.heartbeat_interval, cluster.dead_time) == (5391, 0.2, 0.5)
    assert (cluster.hook, cluster.max_connections) == (Hook.TC, 65_536)
    assert cluster.routers[0] == Router(
        name="lb1",
        priority=150,
        addresses=(("public", IPv4Address("192.0.2.11")), ("private", IPv4Address("10.0.1.11"))),
    )
    assert [(path.name, path.interface) for path in cluster.paths] == [
        ("public", "eth0"),
        ("private", "eth1"),
    ]
    www, dns = cluster.virtual_servers
    assert [str(each) for each in www.listeners] == ["192.0.2.10:80/tcp", "192.0.2.10:443/tcp"]
    assert (www.scheduler, www.scheduler_flags) == ("wrr", ())
    assert www.monitor == Monitor(
        probe=HttpProbe(path="/health", statuses=((200, 299), (301, 301))), interval=2.0, rise=3
    )
    assert [(each.name, each.endpoint, each.weight) for each in www.real_servers] == [
        ("rs1", "10.0.1.21:8080", 3),
        ("10.0.1.22:8080", "10.0.1.22:8080", 1),
    ]
    assert [str(each) for each in dns.listeners] == ["192.0.2.53:53/udp"]


def test_scheduler_flags_are_sorted():
    text = swap('scheduler = "wrr"', 'scheduler = "mh"\nscheduler_flags = ["mh-port", "mh-fallback"]')
    (www, _) = config.parse(text, source="f").virtual_servers
    assert (www.scheduler, www.scheduler_flags) == ("mh", ("mh-fallback", "mh-port"))


def test_virtual_and_gateway_addresses_move_as_one_group():
    (group,) = config.parse(FULL, source="f").groups
    assert group.name == "default"
    assert group.addresses == (
        FloatingAddress(address=IPv4Interface("192.0.2.10/32"), path="public"),
        FloatingAddress(address=IPv4Interface("192.0.2.53/32"), path="public"),
        FloatingAddress(address=IPv4Interface("10.0.1.1/24"), path="private"),
    )


def test_dead_time_is_three_intervals_when_left_out():
    assert config.parse(swap("dead_time = 0.5\n", ""), source="f").dead_time == 0.6


@pytest.mark.parametrize(
    ("monitor", "probe"),
    [
        ('{ type = "tcp" }', TcpProbe()),
        ("{ interval = 5 }", TcpProbe()),
        ('{ type = "https", verify = true, host = "h" }', HttpProbe(tls=True, verify=True, host="h")),
        (
            '{ type = "send_expect", send = "PING\\r\\n", expect = "+PONG" }',
            SendExpectProbe(send=b"PING\r\n", expect=b"+PONG"),
        ),
        ("{ type = \"send_expect\", regex = '^\\d+' }", SendExpectProbe(regex=r"^\d+")),
        ('{ type = "program", command = ["p", "%h", "%p"] }', ProgramProbe(command=("p", "%h", "%p"))),
    ],
)
def test_each_monitor_type_becomes_its_probe(monitor, probe):
    (server,) = config.parse(f"{SMALL}monitor = {monitor}\n", source="f").virtual_servers
    assert server.monitor.probe == probe


def test_the_key_is_read_from_its_file_without_the_line_end(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef\n")
    key.chmod(0o600)
    text = swap('key = "sixteen characters or more"', f'key_file = "{key}"')
    assert config.parse(text, source="f").key == b"0123456789abcdef"
