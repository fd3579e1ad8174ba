"""What tunnels ask of a real server."""

from ipaddress import ip_address

from shoal import config
from shoal.model import Encapsulation
from shoal.realserver.tunnels import (
    Device,
    Opening,
    devices,
    mtu_advice,
    openings,
    rp_filter,
    strict_paths,
    tunnel,
    tunnel_faults,
    tunnels_of,
)
from shoal.realserver.wanted import virtual_addresses

HERE, HERE6 = ip_address("10.0.1.21"), ip_address("2001:db8:1::21")
VIP, VIP6 = ip_address("192.0.2.10"), ip_address("2001:db8::10")
IPIP, GRE, GUE = (
    tunnel(HERE, encap, 6080) for encap in (Encapsulation.IPIP, Encapsulation.GRE, Encapsulation.GUE)
)
MAPPED = bytes(10) + b"\xff\xff"
TEXT = """
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "far"
listen = ["192.0.2.10:80/tcp"]
method = "tunnel"
encap = "gue"
real_servers = ["10.0.1.21:80", { address = "10.0.1.22", port = 80, encap = "gre" }]

[[virtual_servers]]
name = "near"
listen = ["192.0.2.11:80/tcp"]
method = "dr"
real_servers = ["10.0.1.21:80"]

[[virtual_servers]]
name = "rewritten"
listen = ["192.0.2.12:80/tcp"]
real_servers = ["10.0.1.21:80"]
"""


def test_a_host_opens_what_the_virtual_servers_send_to_its_addresses():
    cluster = config.parse(TEXT, source="f")
    assert tunnels_of(cluster, own=[HERE]) == (GUE,)
    assert tunnels_of(cluster, own=[ip_address("10.0.1.22")]) == (
        tunnel(ip_address("10.0.1.22"), Encapsulation.GRE, 0),
    )
    assert tunnels_of(cluster, own=[ip_address("10.0.1.23")]) == ()


def test_a_host_has_the_virtual_addresses_of_dr_and_of_tunnels():
    cluster = config.parse(TEXT, source="f")
    assert virtual_addresses(cluster, own=[HERE]) == (VIP, ip_address("192.0.2.11"))


def test_the_port_counts_under_gue_only():
    assert (IPIP.port, GRE.port, GUE.port) == (0, 0, 6080)
    assert [str(each) for each in (GRE, GUE)] == ["gre to 10.0.1.21", "gue to 10.0.1.21 port 6080"]


def test_the_program_looks_for_both_families_in_ipip_and_for_every_virtual_address():
    own, virtual = MAPPED + HERE.packed, MAPPED + VIP.packed
    assert openings([IPIP], [VIP, VIP6]) == {
        Opening(address=own, protocol=4),
        Opening(address=own, protocol=41),
        Opening(address=virtual),
        Opening(address=VIP6.packed),
    }
    assert openings([GUE], [VIP]) == {
        Opening(address=own, protocol=17, port=6080),
        Opening(address=virtual),
    }
    assert openings([], [VIP]) == frozenset()


def test_the_kernels_devices_follow_from_the_families_outside_and_inside():
    def made(each, *virtual):
        return [device.arguments for device in devices([each], virtual)[each]]

    end, end6 = ("local", "10.0.1.21", "remote", "any"), ("local", "2001:db8:1::21", "remote", "any")
    assert made(IPIP, VIP) == [("type", "ipip", *end)]
    assert made(IPIP, VIP, VIP6) == [("type", "ipip", *end), ("type", "sit", *end)]
    assert made(GRE, VIP, VIP6) == [("type", "gre", *end)]
    assert made(tunnel(HERE6, Encapsulation.IPIP, 0), VIP) == [("type", "ip6tnl", "mode", "any", *end6)]
    assert made(tunnel(HERE6, Encapsulation.GRE, 0), VIP) == [("type", "ip6gre", *end6)]
    assert made(GUE, VIP) == []


def test_each_tunnel_has_devices_of_its_own_name():
    names = [device.name for needed in devices([IPIP, GRE], [VIP, VIP6]).values() for device in needed]
    assert names == ["shoal-ipip0", "shoal-sit0", "shoal-gre1"]
    assert devices([GRE], [VIP])[GRE][0] == Device(
        name="shoal-gre0", arguments=("type", "gre", "local", "10.0.1.21", "remote", "any")
    )


def test_rp_filter_is_strict_when_the_larger_of_both_settings_is_one():
    def strict(of_all: str, own: str) -> bool:
        return bool(strict_paths(["eth0"], {rp_filter("all"): of_all, rp_filter("eth0"): own}))

    assert [strict("0", "0"), strict("0", "1"), strict("1", "0"), strict("1", "1")] == [
        False,
        True,
        True,
        True,
    ]
    assert [strict("2", "1"), strict("1", "2"), strict("2", "0")] == [False, False, False]


def test_the_room_that_a_tunnel_takes_is_named_with_what_to_do():
    (advice,) = mtu_advice([IPIP, GUE], {"eth0": 1500})
    assert "leaves 1468 bytes" in advice
    assert "to 1532" in advice
    assert "advmss 1428" in advice
    assert mtu_advice([IPIP, GUE], {"eth0": 1532}) == ()
    assert mtu_advice([], {"eth0": 1500}) == ()
    assert tunnel(HERE6, Encapsulation.GRE, 0).overhead == 44


def test_every_fault_says_where_and_how_to_mend_it():
    found = tunnel_faults(closed=[GRE], strict=["eth0"], superfluous=["shoal-gre7"])
    assert [each.where for each in found] == [
        "gre to 10.0.1.21",
        "sysctl net.ipv4.conf.eth0.rp_filter",
        "shoal-gre7",
    ]
    assert all("shoal realserver apply" in each.fix for each in found)
