"""Configurations that several tests start from."""

from shoal.config import parse
from shoal.model import Cluster

ONE_ROUTER = """
serial = 7
[paths.public]
interface = "eth0"
[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
real_servers = ["10.0.1.21:80", "10.0.1.22:80"]
"""

TWO_ROUTERS = """
serial = 7
[cluster]
name = "web"
key = "a key of more than sixteen characters"
[paths.public]
interface = "eth0"
[paths.private]
interface = "eth1"
[[routers]]
name = "lb1"
public = "192.0.2.11"
private = "10.0.1.11"
[[routers]]
name = "lb2"
public = "192.0.2.12"
private = "10.0.1.12"
[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
real_servers = ["10.0.1.21:80", "10.0.1.22:80"]
"""


def cluster(text: str = ONE_ROUTER) -> Cluster:
    """The cluster that a text describes."""
    return parse(text, source="test.toml")
