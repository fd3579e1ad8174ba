"""What virtual servers listen to and whom they admit, as the configuration writes it, and what is wrong with it."""

from ipaddress import ip_network

import pytest

from shoal import config
from shoal.model import ConnectionState, Listener, Protocol, Rate, VirtualServer
from support.configs import SMALL, one

LISTEN = 'listen = ["192.0.2.10:80/tcp"]'
REAL = 'real_servers = ["10.0.1.21:80", "10.0.1.22:80"]'
KEPT = 'real_servers = ["10.0.1.21:*"]\n[virtual_servers.monitor]\ntype = "tcp"\nport = 80'


def text(listen: str, *, real: str = KEPT, further: str = "") -> str:
    """A small configuration with these listeners."""
    return SMALL.replace(LISTEN, f"listen = {listen}\n{further}").replace(REAL, real)


def first(content: str) -> VirtualServer:
    """Its first virtual server."""
    return config.parse(content, source="f").virtual_servers[0]


def with_keys(keys: str) -> str:
    """A small configuration with further keys in its virtual server."""
    return swap_small(LISTEN, f"{LISTEN}\n{keys}")


def swap_small(old: str, new: str) -> str:
    """The small configuration with one text replaced."""
    assert old in SMALL
    return SMALL.replace(old, new)


@pytest.mark.parametrize(
    ("written", "port", "last"),
    [("8000-8099", 8000, 8099), ("*", 0, 65535), ("80", 80, 0), ("1-65535", 1, 65535)],
)
def test_ports_ranges_and_any_port_are_read_and_written_alike(written: str, port: int, last: int):
    (listener,) = first(text(f'["192.0.2.10:{written}/tcp"]')).listeners
    assert (listener.port, listener.last_port) == (port, last)
    assert str(listener) == f"192.0.2.10:{written}/tcp"


def test_a_firewall_mark_is_no_floating_address():
    cluster = config.parse(text('["fwmark:7", "fwmark:0x10"]'), source="f")
    assert cluster.virtual_servers[0].marks == (7, 16)
    assert cluster.virtual_servers[0].listens_to == ("fwmark:7", "fwmark:16")
    assert [each for group in cluster.groups for each in group.addresses] == []


def test_a_real_server_without_a_port_keeps_that_of_the_packets():
    (real,) = first(text('["192.0.2.10:80/tcp"]')).real_servers
    assert (real.port, real.endpoint) == (0, "10.0.1.21:*")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (text('["192.0.2.10:90-80/tcp"]'), "'90-80' is not a range of ports"),
        (text('["192.0.2.10:80-80/tcp"]'), "'80-80' is not a range of ports"),
        (text('["192.0.2.10:0-80/tcp"]'), "'0' is not a port"),
        (text('["192.0.2.10:80-70000/tcp"]'), "'70000' is not a port"),
        (text('["fwmark:0"]'), "'fwmark:0' is not a firewall mark"),
        (text('["fwmark:4294967296"]'), "'fwmark:4294967296' is not a firewall mark"),
        (text('["fwmark:web"]'), "'fwmark:web' is not a firewall mark"),
        (text('["fwmark:7", "fwmark:7"]'), "fwmark:7 is already served by www"),
        (
            text('["192.0.2.10:80-90/tcp", "192.0.2.10:90-99/tcp"]'),
            "192.0.2.10:90-99/tcp overlaps 192.0.2.10:80-90/tcp of www",
        ),
        (
            text('["fwmark:7"]') + '\n[dataplane]\nhook = "xdp"\n',
            "a firewall mark cannot be seen where packets are taken by XDP",
        ),
        (
            text('["192.0.2.10:80-90/tcp"]', real='real_servers = ["10.0.1.21:80"]'),
            "port 80 stands for every port of 192.0.2.10:80-90/tcp",
        ),
        (
            text('["192.0.2.10:80/tcp"]', real='real_servers = ["10.0.1.21:*"]'),
            "the health check has no port, since the real server has none of its own",
        ),
        (
            text('["192.0.2.10:53/udp", "192.0.2.10:53/tcp"]', further="one_packet = true"),
            "192.0.2.10:53/tcp is not UDP, and only datagrams can be scheduled one by one",
        ),
        (
            text(
                '["192.0.2.10:53/udp", "192.0.2.10:54/udp"]',
                further="one_packet = true",
                real='real_servers = ["10.0.1.21:53"]',
            ),
            "its replies could be those of 192.0.2.10:53/udp and 192.0.2.10:54/udp; with one_packet nothing else tells",
        ),
        (
            with_keys('allow = ["198.51.100.7/24"]'),
            "'198.51.100.7/24' is an address within a network, not the network",
        ),
        (with_keys('deny = ["somebody"]'), "'somebody' is not a network"),
        (
            with_keys('allow = ["198.51.100.0/24"]\ndeny = ["198.51.100.0/24"]'),
            "198.51.100.0/24 is in allow too",
        ),
        (with_keys('deny = ["198.51.100.7", "198.51.100.7/32"]'), "198.51.100.7/32 is in deny twice"),
        (with_keys('source_rate = "100"'), "'100' is not a rate"),
        (with_keys('source_rate = "0/s"'), "'0/s' is not a rate"),
        (with_keys("source_burst = 5"), "there is a burst but no rate"),
        (with_keys("connection_limit = -1"), "-1 is below 0"),
        (
            with_keys('deny = ["198.51.100.7", "198.51.100.8"]') + "\n[dataplane]\nmax_access_entries = 1\n",
            "2 entries of allow and deny are more than 1",
        ),
        (SMALL + "\n[timeouts]\nudp = 0\n", "0 is below 1"),
        (SMALL + "\n[timeouts]\ntcp.established = 2678401\n", "2678401 is above 2678400"),
    ],
)
def test_one_wrong_value_is_one_error(content: str, problem: str):
    assert one(content)[1] == problem


def test_any_port_and_a_range_may_stand_beside_each_other():
    listeners = first(text('["192.0.2.10:*/tcp", "192.0.2.10:80-90/tcp", "192.0.2.10:85/tcp"]')).listeners
    assert len(listeners) == 3


def test_access_lists_and_limits_are_read():
    found = first(
        with_keys(
            'allow = ["198.51.100.0/24", "2001:db8::/32"]\ndeny = ["198.51.100.7"]\nconnection_limit = 9\n'
            'source_rate = "30/m"\nsloppy = true'
        )
    )
    assert found.sloppy
    assert found.admission.allow == (ip_network("198.51.100.0/24"), ip_network("2001:db8::/32"))
    assert found.admission.deny == (ip_network("198.51.100.7/32"),)
    assert found.admission.connection_limit == 9
    assert found.admission.source_rate == Rate(count=30, period=60)
    assert found.admission.source_burst == 30


def test_timeouts_are_read_and_the_others_are_those_of_ipvs():
    timeouts = dict(
        config.parse(SMALL + "\n[timeouts]\nudp = 30\ntcp.established = 600\n", source="f").timeouts
    )
    assert timeouts[ConnectionState.UDP] == 30
    assert timeouts[ConnectionState.ESTABLISHED] == 600
    assert timeouts[ConnectionState.FIN_WAIT] == 120


def test_a_changed_timeout_or_list_is_another_configuration():
    contents = (
        SMALL,
        SMALL + "\n[timeouts]\nudp = 30\n",
        with_keys('deny = ["198.51.100.7"]'),
        text('["fwmark:7"]'),
    )
    assert len({config.parse(each, source="f").digest for each in contents}) == 4


def test_a_listener_of_one_port_has_one_port():
    listener = Listener(address=first(SMALL).listeners[0].address, port=80, protocol=Protocol.TCP)
    assert (listener.is_range, list(listener.ports)) == (False, [80])
