"""Fullnat in the configuration: where its connections come from, and what cannot be."""

from ipaddress import ip_address

import pytest

from shoal import config
from shoal.model import ForwardingMethod
from support.configs import one, problems, swap

FULLNAT = """
[cluster]
key = "sixteen characters or more"

[paths.public]
interface = "eth0"

[paths.private]
interface = "eth1"

[[routers]]
name = "lb1"
public = "192.0.2.11"
private = "10.0.1.11"
fullnat_addresses = ["10.0.1.111", "10.0.1.112"]

[[routers]]
name = "lb2"
public = "192.0.2.12"
private = "10.0.1.12"

[dataplane]
fullnat_ports = "2000-2999"

[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
method = "fullnat"
real_servers = ["10.0.1.21:8080"]
"""
GIVEN = 'fullnat_addresses = ["10.0.1.111", "10.0.1.112"]'


def addresses(text: str, router: str) -> list[str]:
    """What a router's fullnat connections come from."""
    return [str(each) for each in config.parse(text, source="f").local_pool(router).addresses]


def test_connections_come_from_the_addresses_given_or_from_the_fixed_one_inside():
    assert addresses(FULLNAT, "lb1") == ["10.0.1.111", "10.0.1.112"]
    assert addresses(FULLNAT, "lb2") == ["10.0.1.12"]


def test_with_one_path_connections_come_from_its_fixed_address():
    text = FULLNAT
    for line in (
        '[paths.private]\ninterface = "eth1"\n',
        'private = "10.0.1.12"\n',
        'private = "10.0.1.11"\n',
        GIVEN,
    ):
        text = swap(line, "", text=text)
    assert addresses(text, "lb1") == ["192.0.2.11"]


def test_the_ports_are_those_given_or_below_the_kernels_own():
    assert config.parse(FULLNAT, source="f").local_pool("lb1").ports == range(2000, 3000)
    text = swap('fullnat_ports = "2000-2999"\n', "", text=FULLNAT)
    assert config.parse(text, source="f").local_pool("lb1").ports == range(1024, 32768)


def test_without_fullnat_there_is_no_pool():
    assert addresses(swap('"fullnat"', '"nat"', text=FULLNAT), "lb1") == []


def test_fullnat_may_change_the_port_and_be_one_real_servers_own():
    text = swap('method = "fullnat"\n', "", text=FULLNAT)
    text = swap(
        '"10.0.1.21:8080"',
        '"10.0.1.22:80", { address = "10.0.1.21", port = 8080, method = "fullnat" }',
        text=text,
    )
    cluster = config.parse(text, source="f")
    (server,) = cluster.virtual_servers
    assert [server.method_of(each) for each in server.real_servers] == [
        ForwardingMethod.NAT,
        ForwardingMethod.FULLNAT,
    ]
    assert cluster.uses_fullnat


@pytest.mark.parametrize("ports", ["2000", "2999-2000", "0-10", "a-b", "1-65536", ""])
def test_what_is_no_range_of_ports_is_refused(ports):
    problem = one(swap('"2000-2999"', f'"{ports}"', text=FULLNAT))[1]
    assert problem == f"{ports!r} is not a range of ports"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("192.0.2.10", "192.0.2.10 floats between the routers"),
        ("10.0.1.12", "10.0.1.12 is an address of router lb2"),
        ("10.0.1.111", "10.0.1.111 is given twice"),
        ("nowhere", "'nowhere' is not an IP address"),
    ],
)
def test_an_address_that_cannot_be_this_routers_own_is_refused(address, problem):
    place, said = one(swap('"10.0.1.112"', f'"{address}"', text=FULLNAT))
    assert "routers[0].fullnat_addresses[1]" in place
    assert said.startswith(problem)


def test_a_gateway_is_no_address_of_a_router():
    text = swap('interface = "eth1"', 'interface = "eth1"\ngateway = "10.0.1.112/24"', text=FULLNAT)
    assert one(text)[1].startswith("10.0.1.112 floats between the routers")


def test_more_addresses_than_the_dataplane_holds_are_refused():
    many = ", ".join(f'"10.0.1.{100 + number}"' for number in range(17))
    assert (
        one(swap(GIVEN, f"fullnat_addresses = [{many}]", text=FULLNAT))[1]
        == "17 addresses of IPv4 are more than 16"
    )


def test_a_router_without_an_address_of_the_family_is_refused():
    text = swap('"192.0.2.10:80/tcp"', '"[2001:db8::10]:80/tcp"', text=FULLNAT)
    text = swap('"10.0.1.21:8080"', '"[2001:db8:1::21]:8080"', text=text)
    said = [problem for _, problem, _ in problems(text)]
    assert said == [f"router lb{n} has no IPv6 address for the connections of www" for n in (1, 2)]


def test_several_networks_inside_want_a_choice():
    text = swap(
        '[[routers]]\nname = "lb1"',
        '[paths.other]\ninterface = "eth2"\n\n[[routers]]\nname = "lb1"',
        text=FULLNAT,
    )
    text = swap('private = "10.0.1.11"', 'private = "10.0.1.11"\nother = "10.0.2.11"', text=text)
    text = swap('private = "10.0.1.12"', 'private = "10.0.1.12"\nother = "10.0.2.12"', text=text)
    place, problem = one(text)
    assert "routers[1]" in place
    assert problem == "router lb2 has 10.0.1.12 and 10.0.2.12, and www may reach only one of them"


def test_without_a_router_there_is_nowhere_to_come_from():
    begin, end = FULLNAT.index("[[routers]]"), FULLNAT.index("[dataplane]")
    place, problem = one(FULLNAT[:begin] + FULLNAT[end:])
    assert place.endswith("virtual_servers[0].method")
    assert problem == "fullnat needs an address of the router, and no router is described"


def test_fullnat_between_families_is_refused():
    text = swap('"10.0.1.21:8080"', '"[2001:db8:1::21]:8080"', text=FULLNAT)
    assert "fullnat cannot change that" in one(text)[1]


def test_the_pool_is_part_of_what_a_configuration_means():
    before = config.parse(FULLNAT, source="f")
    assert ip_address("10.0.1.112") in before.local_pool("lb1").addresses
    for old, new in (("10.0.1.112", "10.0.1.113"), ("2000-2999", "2000-3000")):
        assert config.parse(swap(old, new, text=FULLNAT), source="f").digest != before.digest


def test_a_path_cannot_have_the_name_of_the_key():
    text = swap("[paths.private]", "[paths.fullnat_addresses]", text=FULLNAT)
    assert any("a path cannot be called fullnat_addresses" in problem for _, problem, _ in problems(text))
