"""The files that the lab writes for its nodes: the cluster's configuration and nginx's. Pure."""

from pathlib import Path

from shoal.lab.networks import NETWORKS, Family
from shoal.lab.topology import Topology
from shoal.model import ForwardingMethod, endpoint

ECHO_PORT = 7
HTTP_PORT = 80
CLUSTER_NAME = "lab"

_VIRTUAL_SERVER = """\
[[virtual_servers]]
name = "{name}"
listen = ["{endpoint}/{protocol}"]
scheduler = "rr"
{method}
real_servers = [
{real_servers}]
monitor = {monitor}
"""


def _virtual_server(topology: Topology, name: str, *, port: int, protocol: str, monitor: str) -> str:
    real_servers = "".join(
        f'  {{ name = "{node}", address = "{topology.address(node)}", port = {port} }},\n'
        for node in topology.real_servers
    )
    return _VIRTUAL_SERVER.format(
        name=name,
        endpoint=endpoint(topology.vip, port),
        protocol=protocol,
        method=_method(topology),
        real_servers=real_servers,
        monitor=monitor,
    )


def _method(topology: Topology) -> str:
    encap = f'\nencap = "{topology.encap}"' if topology.forward is ForwardingMethod.TUNNEL else ""
    return f'method = "{topology.forward}"{encap}'


def cluster_config(topology: Topology, *, key: str) -> str:
    """The cluster's configuration: the same text on every router."""
    routers = "\n".join(
        f'[[routers]]\nname = "{node}"\npriority = {200 - 10 * index}\n'
        + "".join(f'{port.bridge.path} = "{port.address.ip}"\n' for port in topology.ports(node))
        for index, node in enumerate(topology.routers)
    )
    echo_monitor = '{ type = "tcp", interval = 0.2, timeout = 0.5, fall = 2 }'
    http_monitor = '{ type = "http", path = "/health", interval = 0.5, timeout = 0.5 }'
    return "\n".join(
        (
            f'serial = 1\n\n[cluster]\nname = "{CLUSTER_NAME}"\nkey = "{key}"\n',
            '[paths.public]\ninterface = "eth0"\n',
            f'[paths.private]\ninterface = "eth1"\ngateway = "{topology.gateway}"\n',
            routers,
            f'[dataplane]\nhook = "{topology.hook}"\n',
            _virtual_server(topology, "www", port=HTTP_PORT, protocol="tcp", monitor=http_monitor),
            _virtual_server(topology, "echo-udp", port=ECHO_PORT, protocol="udp", monitor=echo_monitor),
            _virtual_server(topology, "echo-tcp", port=ECHO_PORT, protocol="tcp", monitor=echo_monitor),
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
