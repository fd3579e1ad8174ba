"""Method local in the configuration: the router itself, and nobody else."""

from shoal import config
from shoal.model import ForwardingMethod
from support.configs import SMALL, one, swap

LOCAL = swap(
    'real_servers = ["10.0.1.21:80", "10.0.1.22:80"]',
    'method = "local"\nreal_servers = ["127.0.0.1:80"]',
    text=SMALL,
)


def test_the_router_itself_is_its_loopback_address():
    (server,) = config.parse(LOCAL, source="f").virtual_servers
    assert [(each.endpoint, server.method_of(each)) for each in server.real_servers] == [
        ("127.0.0.1:80", ForwardingMethod.LOCAL)
    ]


def test_local_may_be_one_real_servers_own_method():
    text = swap(
        '"10.0.1.22:80"', '{ address = "127.0.0.1", port = 80, method = "local", weight = 2 }', text=SMALL
    )
    (server,) = config.parse(text, source="f").virtual_servers
    assert server.method_of(server.real_servers[1]) is ForwardingMethod.LOCAL


def test_another_host_is_not_the_router():
    said = one(swap("127.0.0.1", "10.0.1.21", text=LOCAL))[1]
    assert said == "10.0.1.21 is not the router itself, which is the real server under method local"


def test_another_method_cannot_reach_the_router():
    said = one(swap("10.0.1.21", "127.0.0.1", text=SMALL))[1]
    assert said == "127.0.0.1 is the router itself, and method nat sends packets to others"


def test_another_port_is_refused():
    assert (
        "port 8080 is not the listener's port 80"
        in one(swap("127.0.0.1:80", "127.0.0.1:8080", text=LOCAL))[1]
    )


def test_the_other_family_is_refused():
    assert "local cannot change that" in one(swap("127.0.0.1:80", "[::1]:80", text=LOCAL))[1]
