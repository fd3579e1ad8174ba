"""The files that the lab writes for its nodes: the cluster's configuration and nginx's. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shoal.lab.networks import NETWORKS, Family
from shoal.lab.topology import Topology
from shoal.model import ForwardingMethod, endpoint

ECHO_PORT = 7
DNS_PORT = 53
HTTP_PORT = 80
CLUSTER_NAME = "lab"
VIRTUAL_SERVERS = ("www", "echo-udp", "echo-tcp", "dns")

_VIRTUAL_SERVER = """\
[[virtual_servers]]
name = "{name}"
listen = ["{endpoint}/{protocol}"]
scheduler = "{scheduler}"
scheduler_flags = [{flags}]
{method}
real_servers = [
{real_servers}]
monitor = {monitor}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """What an operator may have changed: scheduler, weights (1 where none is given), real servers taken out."""

    scheduler: str = "rr"
    flags: tuple[str, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()


UNCHANGED = Variation()


def _virtual_server(
    topology: Topology, name: str, *, port: int, protocol: str, monitor: str, variation: Variation
) -> str:
    real_servers = "".join(
        f'  {{ name = "{node}", address = "{topology.address(node)}", port = {port}'
        + (f", weight = {variation.weights[node]}" if node in variation.weights else "")
        + " },\n"
        for node in topology.real_servers
        if node not in variation.left_out
    )
    return _VIRTUAL_SERVER.format(
        name=name,
        endpoint=endpoint(topology.vip, port),
        protocol=protocol,
        method=_method(topology),
        scheduler=variation.scheduler,
        flags=", ".join(f'"{flag}"' for flag in variation.flags),
        real_servers=real_servers,
        monitor=monitor,
    )


def _method(topology: Topology) -> str:
    encap = f'\nencap = "{topology.encap}"' if topology.forward is ForwardingMethod.TUNNEL else ""
    return f'method = "{topology.forward}"{encap}'


def cluster_config(topology: Topology, *, key: str, serial: int = 1, variation: Variation = UNCHANGED) -> str:
    """The cluster's configuration: the same text on every router."""
    routers = "\n".join(
        f'[[routers]]\nname = "{node}"\npriority = {200 - 10 * index}\n'
        + "".join(f'{port.bridge.path} = "{port.address.ip}"\n' for port in topology.ports(node))
        for index, node in enumerate(topology.routers)
    )
    echo_monitor = '{ type = "tcp", interval = 0.2, timeout = 0.5, fall = 2 }'
    dns_monitor = f'{{ type = "tcp", port = {ECHO_PORT}, interval = 0.2, timeout = 0.5, fall = 2 }}'
    http_monitor = '{ type = "http", path = "/health", interval = 0.5, timeout = 0.5 }'
    return "\n".join(
        (
            f'serial = {serial}\n\n[cluster]\nname = "{CLUSTER_NAME}"\nkey = "{key}"\n',
            '[paths.public]\ninterface = "eth0"\n',
            f'[paths.private]\ninterface = "eth1"\ngateway = "{topology.gateway}"\n',
            routers,
            f'[dataplane]\nhook = "{topology.hook}"\n',
            *(
                _virtual_server(
                    topology, name, port=port, protocol=protocol, monitor=monitor, variation=variation
                )
                for name, port, protocol, monitor in (
                    ("www", HTTP_PORT, "tcp", http_monitor),
                    ("echo-udp", ECHO_PORT, "udp", echo_monitor),
                    ("echo-tcp", ECHO_PORT, "tcp", echo_monitor),
                    ("dns", DNS_PORT, "udp", dns_monitor),
                )
            ),
        )
    )


def page(node: str) -> str:
    """What a real server answers at ``/``: its own name, so that a client sees who served it."""
    return f"real server {node}\n"


def nginx_config(folder: Path, *, family: Family) -> str:
    """A configuration for Debian's nginx that reads and writes in ``folder`` only."""
    temporary = "".join(
        f"  {kind}_temp_path {folder}/tmp;\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
{temporary}  access_log off;
  default_type text/plain;
  keepalive_requests 1000000;
  server {{
    listen {NETWORKS[family].listen}:{HTTP_PORT} backlog=4096;
    root {folder}/www;
    index index.html;
    location = /health {{ return 200 "ok\\n"; }}
  }}
}}
"""
