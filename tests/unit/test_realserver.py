"""What direct routing asks of a real server."""

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from shoal import config
from shoal.realserver.wanted import (
    TAG,
    Fault,
    Standing,
    faults,
    missing,
    superfluous,
    sysctls,
    virtual_addresses,
)

VIP, OTHER = IPv4Address("192.0.2.10"), IPv4Address("192.0.2.11")
OWN = Standing(interface="eth0", address=IPv4Interface("192.0.2.21/24"), tag=0)
ON_LO = Standing(interface="lo", address=IPv4Interface("192.0.2.10/32"), tag=TAG)
RIGHT = sysctls([VIP], interfaces=["eth0"])
TEXT = """
[cluster]
name = "web"
key_file = "/nowhere/key"

[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "direct"
listen = ["192.0.2.10:80/tcp", "192.0.2.11:80/tcp"]
method = "dr"
real_servers = ["192.0.2.21:80", { address = "192.0.2.22", port = 80, method = "nat" }]

[[virtual_servers]]
name = "rewritten"
listen = ["192.0.2.12:80/tcp"]
real_servers = ["192.0.2.21:80"]
"""


def test_a_host_needs_the_addresses_of_the_virtual_servers_that_reach_it_directly():
    cluster = config.parse(TEXT, source="f", reads_key=False)
    assert virtual_addresses(cluster, own=[IPv4Address("192.0.2.21")]) == (VIP, OTHER)
    assert virtual_addresses(cluster, own=[IPv4Address("192.0.2.22")]) == ()


def test_a_host_as_it_should_be_has_no_fault():
    assert faults([VIP], [OWN, ON_LO], RIGHT) == ()


def test_an_address_that_is_not_on_lo_is_a_fault():
    assert faults([VIP, OTHER], [OWN, ON_LO], RIGHT) == (
        Fault(where="192.0.2.11", problem="it is not on lo", fix="run `shoal realserver apply`"),
    )


def test_a_virtual_address_on_a_networks_interface_is_a_fault():
    wrong = Standing(interface="eth0", address=IPv4Interface("192.0.2.10/24"), tag=0)
    (found,) = faults([VIP], [OWN, ON_LO, wrong], RIGHT)
    assert found.where == "192.0.2.10 on eth0"
    assert found.fix == "ip address del 192.0.2.10/24 dev eth0"


def test_each_wrong_sysctl_is_a_fault():
    found = faults([VIP], [OWN, ON_LO], RIGHT | {"net/ipv4/conf/eth0/arp_ignore": "3"})
    assert [each.where for each in found] == ["sysctl net.ipv4.conf.eth0.arp_ignore"]
    assert "it must be 1" in found[0].fix


def test_an_ipv6_address_needs_no_sysctl():
    assert sysctls([IPv6Address("2001:db8::10")], interfaces=["eth0"]) == {}
    assert sysctls([IPv6Address("2001:db8::10"), VIP], interfaces=["eth0"]) == RIGHT


def test_an_ipv6_virtual_address_belongs_on_lo_as_well():
    vip = IPv6Address("2001:db8::10")
    (absent,) = faults([vip], [OWN], {})
    assert (absent.where, absent.problem) == ("2001:db8::10", "it is not on lo")
    on_lo = Standing(interface="lo", address=IPv6Interface("2001:db8::10/128"), tag=TAG)
    wrong = Standing(interface="eth0", address=IPv6Interface("2001:db8::10/64"), tag=0)
    (found,) = faults([vip], [on_lo, wrong], {})
    assert (
        found.problem == "a virtual address on a network's interface is answered for by neighbour discovery"
    )
    assert found.fix == "ip address del 2001:db8::10/64 dev eth0"
    assert superfluous([VIP], [on_lo]) == (on_lo.address,)


def test_virtual_addresses_of_both_families_come_ipv4_first():
    six = '"[2001:db8::10]:80/tcp"]\nmethod = "dr"\nreal_servers = ["[2001:db8:1::21]:80"]\n'
    text = f'{TEXT}[[virtual_servers]]\nname = "six"\nlisten = [{six}'
    cluster = config.parse(text, source="f", reads_key=False)
    own = [IPv6Address("2001:db8:1::21"), IPv4Address("192.0.2.21")]
    assert virtual_addresses(cluster, own=own) == (VIP, OTHER, IPv6Address("2001:db8::10"))


def test_what_was_added_here_and_is_not_wanted_any_more_goes_and_nothing_else():
    foreign = Standing(interface="lo", address=IPv4Interface("127.0.0.1/8"), tag=0)
    present = [OWN, ON_LO, foreign]
    assert superfluous([OTHER], present) == (ON_LO.address,)
    assert missing([OTHER], present) == (OTHER,)
    assert superfluous([VIP], present) == ()
