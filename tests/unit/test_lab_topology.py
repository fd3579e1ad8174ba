"""The lab's plan and the files it writes."""

from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from shoal import config
from shoal.errors import ConfigError, NotFoundError
from shoal.lab.networks import NETWORKS, Bridge, Family, literal
from shoal.lab.texts import cluster_config, nginx_config
from shoal.lab.topology import (
    LAYOUTS,
    MOST_REAL_SERVERS,
    MOST_ROUTERS,
    Topology,
    address_commands,
    cable_commands,
    link_commands,
    node_commands,
    plug_commands,
)
from shoal.model import Cluster, Encapsulation, ForwardingMethod, Hook

KEY = "0123456789abcdef"


def parsed(topology: Topology) -> Cluster:
    return config.parse(cluster_config(topology, key=KEY), source="lab")


def test_the_usual_lab_has_a_switch_a_client_two_routers_and_three_real_servers():
    assert Topology().nodes == ("net", "client", "lb1", "lb2", "rs1", "rs2", "rs3")


def test_namespaces_are_prefixed_by_the_labs_name():
    assert Topology(name="dev").namespace("lb1") == "dev-lb1"


def test_an_unknown_node_is_refused_with_the_known_ones():
    with pytest.raises(NotFoundError) as caught:
        Topology(real_server_count=1).namespace("rs2")
    assert caught.value.fix == "use one of net, client, lb1, lb2, rs1"


@pytest.mark.parametrize("name", ["", "9lives", "Upper", "a" * 21, "a/b", "a b"])
def test_a_name_that_cannot_be_a_prefix_is_refused(name: str):
    with pytest.raises(ConfigError):
        Topology(name=name)


@pytest.mark.parametrize("count", [0, MOST_ROUTERS + 1])
def test_a_number_of_routers_out_of_range_is_refused(count: int):
    with pytest.raises(ConfigError):
        Topology(router_count=count)


def test_every_address_mac_and_switch_port_of_the_largest_lab_is_unique_and_short_enough():
    topology = Topology(name="a" * 20, router_count=MOST_ROUTERS, real_server_count=MOST_REAL_SERVERS)
    ports = [port for node in topology.nodes for port in topology.ports(node)]
    assert len({port.address for port in ports}) == len(ports)
    assert len({port.mac for port in ports}) == len(ports)
    assert len({port.switch_port for port in ports}) == len(ports)
    assert max(len(port.switch_port) for port in ports) <= 15  # IFNAMSIZ


def test_a_router_has_its_number_on_both_networks():
    assert [port.address for port in Topology().ports("lb2")] == [
        IPv4Interface("10.210.0.12/24"),
        IPv4Interface("10.211.0.12/24"),
    ]


def test_under_ipv6_hosts_have_the_numbers_that_they_have_under_ipv4():
    topology = Topology(family=Family.IPV6)
    assert [str(port.address) for port in topology.ports("lb2")] == [
        "2001:db8:210::12/64",
        "fd00:211::12/64",
    ]
    assert (str(topology.vip), str(topology.gateway)) == ("2001:db8:210::100", "fd00:211::1/64")
    assert topology.url == "http://[2001:db8:210::100]/"
    assert Topology().url == "http://10.210.0.100/"


@pytest.mark.parametrize("forward", list(LAYOUTS))
@pytest.mark.parametrize("family", list(Family))
def test_no_two_nodes_share_an_address_or_a_mac(forward: ForwardingMethod, family: Family):
    topology = Topology(
        forward=forward,
        family=family,
        router_count=MOST_ROUTERS,
        real_server_count=MOST_REAL_SERVERS,
    )
    ports = [port for node in topology.nodes for port in topology.ports(node)]
    assert len({port.mac for port in ports}) == len(ports)
    floating = {topology.vip, topology.gateway.ip}
    assert len({port.address.ip for port in ports} | floating) == len(ports) + 2
    askers = NETWORKS[family].host(Bridge.PUBLIC, 240).ip
    assert all(address not in {port.address.ip for port in ports} for address in (askers, askers + 7))


def test_ipv6_addresses_are_there_at_once_and_none_is_made_by_the_kernel():
    topology = Topology(family=Family.IPV6)
    assert node_commands(topology, "rs1") == (
        "link set lo up",
        "link set eth0 addrgenmode none",
        "addr add fd00:211::21/64 dev eth0 nodad",
        "addr add fe80::21/64 dev eth0 nodad",
        "link set eth0 up",
        "route add default via fd00:211::1",
    )


def test_an_address_in_a_url_has_brackets_under_ipv6():
    addresses = [Topology(family=family).address("client") for family in Family]
    assert [literal(address) for address in addresses] == ["10.210.0.10", "[2001:db8:210::10]"]


def test_a_mac_is_turned_back_into_its_router():
    topology = Topology()
    assert topology.owner_of_mac(topology.port("lb2", Bridge.PUBLIC).mac) == "lb2"
    assert topology.owner_of_mac("aa:bb:cc:dd:ee:ff") == "aa:bb:cc:dd:ee:ff"


def test_a_cable_is_made_with_each_end_in_its_namespace():
    assert cable_commands(Topology(), "rs1") == (
        "link add rs1-private netns shoal-net type veth"
        " peer name eth0 netns shoal-rs1 address 02:5a:00:00:02:15",
    )


def test_a_real_server_sends_everything_to_the_floating_gateway():
    assert node_commands(Topology(), "rs1") == (
        "link set lo up",
        "addr add 10.211.0.21/24 dev eth0",
        "link set eth0 up",
        "route add default via 10.211.0.1",
    )


def test_a_port_joins_its_bridge_where_no_unicast_is_flooded_because_the_address_is_known():
    ports = Topology().ports("rs1")
    assert plug_commands(ports) == (
        "link set rs1-private master br-private up",
        "link set rs1-private type bridge_slave flood off",
    )
    assert address_commands(ports) == ("fdb replace 02:5a:00:00:02:15 dev rs1-private master static",)


def test_under_direct_routing_real_servers_stand_on_the_public_network_without_a_route_by_the_router():
    topology = Topology(forward=ForwardingMethod.DR)
    (port,) = topology.ports("rs1")
    assert (port.bridge, str(port.address), port.mac) == ("br-public", "10.210.0.21/24", "02:5a:00:00:01:15")
    assert address_commands([port]) == ("fdb replace 02:5a:00:00:01:15 dev rs1-public master static",)
    assert node_commands(topology, "rs1") == (
        "link set lo up",
        "addr add 10.210.0.21/24 dev eth0",
        "link set eth0 up",
    )


def test_the_lab_writes_a_direct_configuration_that_shoal_accepts():
    cluster = parsed(Topology(forward=ForwardingMethod.DR))
    assert {virtual.method for virtual in cluster.virtual_servers} == {ForwardingMethod.DR}


@pytest.mark.parametrize("encap", list(Encapsulation))
def test_the_lab_writes_a_configuration_of_tunnels_that_shoal_accepts(encap: Encapsulation):
    cluster = parsed(Topology(forward=ForwardingMethod.TUNNEL, encap=encap))
    assert {(virtual.method, virtual.encap) for virtual in cluster.virtual_servers} == {
        (ForwardingMethod.TUNNEL, encap)
    }


def test_an_encapsulation_without_tunnels_is_refused():
    with pytest.raises(ConfigError) as caught:
        Topology(encap=Encapsulation.GUE)
    assert caught.value.fix == "add --forward tunnel, or leave --encap out"


@pytest.mark.parametrize("forward", list(LAYOUTS))
def test_the_lab_writes_an_ipv6_configuration_that_shoal_accepts(forward: ForwardingMethod):
    cluster = parsed(Topology(forward=forward, family=Family.IPV6))
    assert {str(floating.address) for floating in cluster.groups[0].addresses} == {
        "2001:db8:210::100/128",
        "fd00:211::1/64",
    }
    assert [str(virtual.listeners[0]) for virtual in cluster.virtual_servers] == [
        "[2001:db8:210::100]:80/tcp",
        "[2001:db8:210::100]:7/udp",
        "[2001:db8:210::100]:7/tcp",
        "[2001:db8:210::100]:53/udp",
    ]
    assert str(cluster.routers[0].address_on("public")) == "2001:db8:210::11"


@pytest.mark.parametrize(("family", "listen"), [(Family.IPV4, "0.0.0.0:80"), (Family.IPV6, "[::]:80")])
def test_nginx_listens_in_the_labs_family(family: Family, listen: str):
    assert f"listen {listen} backlog" in nginx_config(Path("/lab/rs1"), family=family)


def test_cutting_a_cable_sets_the_switchs_end_down():
    ports = Topology().ports("lb1")
    assert link_commands(ports, up=False) == ("link set lb1-public down", "link set lb1-private down")


def test_the_lab_writes_a_configuration_that_shoal_accepts():
    cluster = parsed(Topology(hook=Hook.TC))
    assert [router.name for router in cluster.routers] == ["lb1", "lb2"]
    assert cluster.routers[1].address_on("private") == IPv4Address("10.211.0.12")
    assert [virtual.name for virtual in cluster.virtual_servers] == ["www", "echo-udp", "echo-tcp", "dns"]
    assert [str(virtual.listeners[0]) for virtual in cluster.virtual_servers] == [
        "10.210.0.100:80/tcp",
        "10.210.0.100:7/udp",
        "10.210.0.100:7/tcp",
        "10.210.0.100:53/udp",
    ]
    assert {real.name for real in cluster.virtual_servers[0].real_servers} == {"rs1", "rs2", "rs3"}
    assert {str(floating.address) for floating in cluster.groups[0].addresses} == {
        "10.210.0.100/32",
        "10.211.0.1/24",
    }
    assert cluster.hook is Hook.TC


@pytest.mark.parametrize("routers", [1, MOST_ROUTERS])
def test_the_smallest_and_the_largest_configuration_are_accepted_too(routers: int):
    topology = Topology(router_count=routers, real_server_count=MOST_REAL_SERVERS)
    assert len(parsed(topology).routers) == routers


def test_nginx_reads_and_writes_in_its_own_folder_only():
    paths = [
        word.rstrip(";")
        for line in nginx_config(Path("/lab/rs1"), family=Family.IPV4).splitlines()
        for word in line.split()[1:]
        if word.startswith("/") and not line.strip().startswith("location")
    ]
    assert len(paths) == 8
    assert all(path.startswith("/lab/rs1/") for path in paths)
