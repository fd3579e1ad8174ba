"""Tunnels and masquerading in the configuration: whose the keys are, and which of them do nothing."""

import pytest

from shoal import config
from shoal.dataplane.ebpf.installation import METHOD_NUMBERS
from shoal.model import GUE_PORT, Encapsulation, ForwardingMethod
from support.configs import FULL, one, problems, swap

TUNNEL = """
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
method = "tunnel"
encap = "gue"
encap_port = 6081
real_servers = [
    "192.0.2.21:80",
    { address = "192.0.2.22", port = 80, encap = "gre" },
    { address = "192.0.2.23", port = 80, encap_port = 6082 },
    { address = "192.0.2.24", port = 8080, method = "nat" },
]
"""


def test_a_real_server_has_its_own_encapsulation_or_that_of_its_virtual_server():
    (server,) = config.parse(TUNNEL, source="f").virtual_servers
    assert [server.method_of(each) for each in server.real_servers] == [
        *[ForwardingMethod.TUNNEL] * 3,
        ForwardingMethod.NAT,
    ]
    assert [(server.encap_of(each), server.encap_port_of(each)) for each in server.real_servers[:3]] == [
        (Encapsulation.GUE, 6081),
        (Encapsulation.GRE, 6081),
        (Encapsulation.GUE, 6082),
    ]


def test_a_tunnel_is_ipip_and_its_port_that_of_iana_unless_the_file_says_otherwise():
    text = swap('encap = "gue"\nencap_port = 6081\n', "", text=swap(", encap_port = 6082", "", text=TUNNEL))
    (server,) = config.parse(text, source="f").virtual_servers
    assert server.encap is Encapsulation.IPIP
    assert server.encap_port == GUE_PORT == 6080


def test_the_encapsulation_is_part_of_what_a_configuration_means():
    other = swap('encap = "gre"', 'encap = "ipip"', text=TUNNEL)
    assert config.parse(TUNNEL, source="f").digest != config.parse(other, source="f").digest


def test_another_port_is_refused_under_tunnel():
    text = swap('"192.0.2.21:80"', '"192.0.2.21:8080"', text=TUNNEL)
    problem = "port 8080 is not the listener's port 80, and method tunnel cannot change ports"
    assert one(text) == ("f:12: virtual_servers[0].real_servers[0]", problem)


def test_an_encapsulation_without_a_tunnel_is_refused():
    assert problems(swap('method = "nat"', 'encap = "ipip"')) == [
        (
            "f:36: virtual_servers[0].encap",
            "encap = 'ipip' does nothing without method tunnel",
            'Add method = "tunnel", or remove encap.',
        )
    ]
    text = swap('method = "nat"', 'method = "nat", encap = "gre"', text=TUNNEL)
    assert one(text)[0] == "f:15: virtual_servers[0].real_servers[3].encap"


def test_a_port_of_gue_without_gue_is_refused():
    text = swap('encap = "gre"', 'encap = "gre", encap_port = 7000', text=TUNNEL)
    where, problem = one(text)
    assert where == "f:13: virtual_servers[0].real_servers[1].encap_port"
    assert problem == "encap_port is the UDP port of gue, and no packet travels in that here"


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_out_of_range_is_one_error(port: int):
    assert one(swap("encap_port = 6081", f"encap_port = {port}", text=TUNNEL))[0] == (
        "f:10: virtual_servers[0].encap_port"
    )


def test_a_path_with_a_gateway_may_masquerade():
    text = swap('gateway = "10.0.1.1/24"', 'gateway = "10.0.1.1/24"\nmasquerade = true')
    paths = {path.name: path.masquerade for path in config.parse(text, source="f").paths}
    assert paths == {"public": False, "private": True}
    assert config.parse(text, source="f").digest != config.parse(FULL, source="f").digest


def test_masquerading_without_a_gateway_or_on_the_public_path_is_refused():
    where, problem = one(swap('gateway = "10.0.1.1/24"', "masquerade = true"))
    assert where == "f:15: paths.private.masquerade"
    assert problem == "masquerade needs a gateway, the address that the real servers send to"
    public = swap('interface = "eth0"', 'interface = "eth0"\nmasquerade = true')
    assert one(public) == (
        "f:12: paths.public.masquerade",
        "the path public is the one to masquerade towards",
    )


def test_what_the_programs_cannot_do_is_known_by_name():
    assert {ForwardingMethod.NAT, ForwardingMethod.DR} <= METHOD_NUMBERS.keys()
