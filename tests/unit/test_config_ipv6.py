"""IPv6 in the configuration: how it is written, what reaches the cluster, and what must be of one family."""

import contextlib
from ipaddress import IPv6Address, ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import config
from shoal.config import notation
from shoal.config.load import parse
from shoal.errors import ConfigError
from shoal.model import FloatingAddress, Listener, Protocol
from support.configs import FULL, SMALL, one, problems, swap

SIX = """\
[paths.public]
interface = "eth0"

[paths.private]
interface = "eth1"
gateway = ["10.0.1.1/24", "2001:db8:1::1/64"]

[cluster]
key = "sixteen characters or more"

[[routers]]
name = "lb1"
public = "2001:db8::11"
private = "2001:db8:1::11"

[[routers]]
name = "lb2"
public = "2001:db8::12"
private = "2001:db8:1::12"

[dataplane]
max_connections_ipv6 = 1024
max_virtual_servers = 2
max_real_servers = 3

[[virtual_servers]]
name = "www"
listen = ["[2001:db8::10]:80/tcp", "[2001:DB8:0::10]:443/tcp"]
real_servers = ["[2001:db8:1::21]:80"]

[[virtual_servers]]
name = "old"
listen = ["192.0.2.10:80/tcp"]
real_servers = ["10.0.1.21:80", "10.0.1.22:80"]
"""


def test_addresses_of_both_families_reach_the_cluster():
    cluster = config.parse(SIX, source="f")
    assert cluster.routers[0].address_on("private") == IPv6Address("2001:db8:1::11")
    www, old = cluster.virtual_servers
    assert www.listeners[1] == Listener(address=ip_address("2001:db8::10"), port=443, protocol=Protocol.TCP)
    assert [each.name for each in www.real_servers] == ["[2001:db8:1::21]:80"]
    assert [each.name for each in old.real_servers] == ["10.0.1.21:80", "10.0.1.22:80"]


def test_each_virtual_address_floats_as_a_host_and_the_gateways_with_their_networks():
    (group,) = config.parse(SIX, source="f").groups
    assert group.addresses == tuple(
        FloatingAddress(address=ip_interface(address), path=path)
        for address, path in (
            ("2001:db8::10/128", "public"),
            ("192.0.2.10/32", "public"),
            ("10.0.1.1/24", "private"),
            ("2001:db8:1::1/64", "private"),
        )
    )


def test_the_limits_of_the_dataplane_reach_the_cluster_and_have_defaults():
    cluster = config.parse(SIX, source="f")
    limits = (cluster.max_connections_ipv6, cluster.max_virtual_servers, cluster.max_real_servers)
    assert limits == (1024, 2, 3)
    cluster = config.parse(SMALL, source="f")
    limits = (cluster.max_connections_ipv6, cluster.max_virtual_servers, cluster.max_real_servers)
    assert limits == (65_536, 256, 4096)


@pytest.mark.parametrize(
    ("key", "problem", "fix"),
    [
        (
            "max_virtual_servers = 1",
            "2 virtual servers are more than 1",
            "Set max_virtual_servers = 2 or more.",
        ),
        ("max_real_servers = 2", "3 real servers are more than 2", "Set max_real_servers = 3 or more."),
        ("max_virtual_servers = 4097", "4097 is above 4096", "Use 1 to 4096."),
        ("max_real_servers = 131073", "131073 is above 131072", "Use 1 to 131072."),
        ("max_connections_ipv6 = 1023", "1023 is below 1024", "Use 1024 to 16777216."),
    ],
)
def test_a_limit_that_is_too_small_or_too_large_is_an_error_at_its_line(key: str, problem: str, fix: str):
    name = key.partition(" ")[0]
    number, line = next((n, each) for n, each in enumerate(SIX.splitlines(), 1) if each.startswith(name))
    assert problems(swap(line, key, text=SIX)) == [(f"f:{number}: dataplane.{name}", problem, fix)]


def test_the_meaning_does_not_depend_on_the_order_of_the_gateways():
    swapped = swap('"10.0.1.1/24", "2001:db8:1::1/64"', '"2001:db8:1::1/64", "10.0.1.1/24"', text=SIX)
    assert parse(swapped, source="f").digest == parse(SIX, source="f").digest
    other = swap("2001:db8:1::1/64", "2001:db8:1::2/64", text=SIX)
    assert parse(other, source="f").digest != parse(SIX, source="f").digest


def test_one_gateway_is_the_same_as_a_list_of_one():
    listed = swap('gateway = "10.0.1.1/24"', 'gateway = ["10.0.1.1/24"]')
    assert config.parse(listed, source="f") == config.parse(FULL, source="f")
    none = swap('gateway = "10.0.1.1/24"', "gateway = []")
    assert config.parse(none, source="f") == config.parse(swap('gateway = "10.0.1.1/24"\n', ""), source="f")


@pytest.mark.parametrize(
    ("gateway", "index", "problem"),
    [
        ('["10.0.1.1/24", "10.0.1.2/24"]', "[1]", "path private has another IPv4 gateway"),
        ('["2001:db8:1::1"]', "[0]", "'2001:db8:1::1' has no prefix length"),
        ('["2001:db8:1::1/129"]', "[0]", "'2001:db8:1::1/129' is not an address with a prefix"),
        ('"2001:db8:1::/64"', "", "2001:db8:1:: is the subnet-router anycast address of 2001:db8:1::/64"),
        (
            '"2001:db8:9::1/64"',
            "",
            "2001:db8:9::/64 does not hold 2001:db8:1::11, the address of router lb1 on this path",
        ),
        (
            '["2001:db8:1::12/64"]',
            "[0]",
            "2001:db8:1::12 is the fixed address of router lb2, so it cannot float",
        ),
        ("true", "", "true or false where text or a list belongs"),
        ("[5]", "[0]", "a whole number where text belongs"),
    ],
)
def test_a_wrong_gateway_says_what_is_wrong(gateway: str, index: str, problem: str):
    text = swap('["10.0.1.1/24", "2001:db8:1::1/64"]', gateway, text=SIX)
    assert one(text) == (f"f:6: paths.private.gateway{index}", problem)


def test_a_gateway_may_be_either_address_of_a_network_of_two():
    text = SMALL + '[paths.private]\ninterface = "eth1"\ngateway = "2001:db8:1::10/127"\n'
    floating = config.parse(text, source="f").groups[0].addresses
    assert str(floating[-1].address) == "2001:db8:1::10/127"


@pytest.mark.parametrize("method", ["nat", "dr"])
def test_a_real_server_of_the_other_family_is_an_error(method: str):
    text = swap(
        'real_servers = ["[2001', f'method = "{method}"\nreal_servers = ["10.0.1.23:80", "[2001', text=SIX
    )
    text = swap("max_real_servers = 3", "max_real_servers = 4", text=text).replace(
        ', "[2001:DB8:0::10]:443/tcp"', ""
    )
    problem = f"10.0.1.23 is IPv4 and the listeners are not; {method} cannot change that"
    assert one(text) == ("f:30: virtual_servers[0].real_servers[0]", problem)


def test_a_tunnel_carries_either_family_to_either():
    text = swap(
        'real_servers = ["[2001', 'method = "tunnel"\nreal_servers = ["10.0.1.23:80", "[2001', text=SIX
    )
    text = swap("max_real_servers = 3", "max_real_servers = 4", text=text)
    text = swap('"[2001:DB8:0::10]:443/tcp"', '"192.0.2.11:80/tcp"', text=text)
    www = config.parse(text, source="f").virtual_servers[0]
    assert [each.address.version for each in www.real_servers] == [4, 6]
    assert [each.address.version for each in www.listeners] == [6, 4]


def test_listeners_of_two_families_are_an_error_at_the_later_one():
    text = swap('"[2001:DB8:0::10]:443/tcp"', '"192.0.2.10:443/tcp"', text=SIX)
    assert problems(text) == [
        (
            "f:28: virtual_servers[0].listen[1]",
            "192.0.2.10:443/tcp is IPv4, and [2001:db8::10]:80/tcp is not",
            "Make a virtual server for each family, with real servers of its own.",
        )
    ]


def test_the_same_listener_written_in_two_ways_is_served_twice():
    text = swap('"[2001:DB8:0::10]:443/tcp"', '"[2001:DB8:0::10]:80/tcp"', text=SIX)
    assert one(text)[1] == "[2001:db8::10]:80/tcp is already served by www"


def test_the_same_real_server_written_in_two_ways_is_there_twice():
    text = swap('"[2001:db8:1::21]:80"]', '"[2001:db8:1::21]:80", "[2001:db8:1:0::21]:80"]', text=SIX)
    text = swap("max_real_servers = 3", "max_real_servers = 4", text=text)
    assert one(text)[1] == "[2001:db8:1::21]:80 is already a real server of www"


def test_a_host_header_with_an_ipv6_address_needs_brackets():
    monitor = 'monitor = {{ type = "http", host = "{}" }}\n'
    config.parse(SMALL + monitor.format("[2001:db8::10]:8080"), source="f")
    assert problems(SMALL + monitor.format("2001:db8::10")) == [
        (
            "f:8: virtual_servers[0].monitor.host",
            "'2001:db8::10' has an IPv6 address without brackets",
            "Put it in brackets: [2001:db8::10].",
        )
    ]


ADDRESSES = st.ip_addresses(network="192.0.2.0/24") | st.ip_addresses(network="2001:db8::/32")
MANGLED = st.text(alphabet="0123456789abcdf:.[]/%tcpe \u0660", max_size=50)


@given(ADDRESSES, st.integers(1, 65535), st.sampled_from(Protocol))
def test_a_listener_is_read_as_it_is_written(address, port, protocol):
    written = Listener(address=address, port=port, protocol=protocol)
    assert notation.listener(str(written)) == written
    assert notation.endpoint(str(written).partition("/")[0]) == (address, port)


@given(MANGLED, st.sampled_from([notation.listener, notation.endpoint, notation.gateway, notation.address]))
def test_whatever_is_written_is_a_value_or_an_error_of_the_configuration(text, reads):
    with contextlib.suppress(ConfigError):
        assert reads(text) is not None
