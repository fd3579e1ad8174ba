"""Forwarding method dr in the configuration: whose it is, and that it cannot change ports."""

from shoal import config
from shoal.model import ForwardingMethod
from support.configs import FULL, one, problems, swap

DIRECT = """
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
method = "dr"
real_servers = ["192.0.2.21:80", { address = "10.0.1.22", port = 80, method = "nat" }]
"""
FIX = 'Use the listener\'s port, a virtual server for each port, or method = "nat".'


def test_a_real_server_has_its_own_method_or_that_of_its_virtual_server():
    (server,) = config.parse(DIRECT, source="f").virtual_servers
    assert server.method is ForwardingMethod.DR
    assert [server.method_of(each) for each in server.real_servers] == [
        ForwardingMethod.DR,
        ForwardingMethod.NAT,
    ]


def test_the_method_is_part_of_what_a_configuration_means():
    without = swap(', method = "nat"', "", text=DIRECT)
    assert config.parse(DIRECT, source="f").digest != config.parse(without, source="f").digest


def test_another_port_is_refused_under_dr():
    text = swap('"192.0.2.21:80"', '"192.0.2.21:8080"', text=DIRECT)
    problem = "port 8080 is not the listener's port 80, and method dr cannot change ports"
    assert problems(text) == [("f:9: virtual_servers[0].real_servers[0]", problem, FIX)]


def test_another_port_is_refused_for_the_one_real_server_that_is_under_dr():
    text = swap("port = 8080\nweight = 3", 'port = 8080\nweight = 3\nmethod = "dr"')
    where, problem = one(text)
    assert where == "f:45: virtual_servers[0].real_servers[0]"
    assert problem == "port 8080 is not the listener's port 80, and method dr cannot change ports"


def test_every_listener_must_have_the_real_servers_port_under_dr():
    text = swap('"192.0.2.10:80/tcp"', '"192.0.2.10:80/tcp", "192.0.2.10:443/tcp"', text=DIRECT)
    assert one(text)[1] == "port 80 is not the listener's port 443, and method dr cannot change ports"
    both = swap('"192.0.2.10:80/tcp"', '"192.0.2.10:80/tcp", "192.0.2.10:80/udp"', text=DIRECT)
    assert len(config.parse(both, source="f").virtual_servers[0].listeners) == 2


def test_an_unknown_method_of_a_real_server_is_one_error():
    text = swap('method = "nat"', 'method = "natt"', text=DIRECT)
    assert one(text) == ("f:9: virtual_servers[0].real_servers[1].method", "'natt' is not a known method")


def test_ports_may_be_mapped_under_nat():
    assert config.parse(FULL, source="f").virtual_servers[0].real_servers[0].port == 8080
