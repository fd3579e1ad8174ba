"""Configuration files for tests, and what a wrong one is answered with."""

import pytest

from shoal import config
from shoal.errors import ConfigErrors

SMALL = """\
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
real_servers = ["10.0.1.21:80", "10.0.1.22:80"]
"""

FULL = """\
serial = 7

[cluster]
name = "web"
key = "sixteen characters or more"
heartbeat_port = 5391
heartbeat_interval = 0.2
dead_time = 0.5

[paths.public]
interface = "eth0"

[paths.private]
interface = "eth1"
gateway = "10.0.1.1/24"

[[routers]]
name = "lb1"
priority = 150
public = "192.0.2.11"
private = "10.0.1.11"

[[routers]]
name = "lb2"
public = "192.0.2.12"
private = "10.0.1.12"

[dataplane]
hook = "tc"
max_connections = 65_536

[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp", "192.0.2.10:443/tcp"]
scheduler = "wrr"
method = "nat"

[virtual_servers.monitor]
type = "http"
path = "/health"
statuses = ["200-299", 301]
interval = 2
rise = 3

[[virtual_servers.real_servers]]
name = "rs1"
address = "10.0.1.21"
port = 8080
weight = 3

[[virtual_servers.real_servers]]
address = "10.0.1.22"
port = 8080

[[virtual_servers]]
name = "dns"
listen = ["192.0.2.53:53/udp"]
real_servers = ["10.0.1.21:53"]
"""


def problems(text: str) -> list[tuple[str, str, str]]:
    """Where, problem and fix of every error."""
    with pytest.raises(ConfigErrors) as caught:
        config.parse(text, source="f")
    return [(error.where, error.problem, error.fix) for error in caught.value.errors]


def one(text: str) -> tuple[str, str]:
    """Where and problem of the only error."""
    found = problems(text)
    assert len(found) == 1, found
    return found[0][:2]


def swap(old: str, new: str, *, text: str = FULL) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)
