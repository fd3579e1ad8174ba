"""Virtual servers of SCTP, and what they must leave alone."""

import pytest

from shoal import config
from shoal.model import ConnectionState, Protocol
from support.configs import one, problems

SCTP = """
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "m3ua"
listen = ["192.0.2.10:2905/sctp"]
method = "nat"
real_servers = ["192.0.2.21:2905"]
"""


def test_a_virtual_server_listens_to_sctp():
    (listener,) = config.parse(SCTP, source="f").virtual_servers[0].listeners
    assert (listener.protocol, str(listener)) == (Protocol.SCTP, "192.0.2.10:2905/sctp")


def test_another_port_is_refused_by_nat():
    assert one(SCTP.replace("192.0.2.21:2905", "192.0.2.21:2906")) == (
        "f:9: virtual_servers[0].real_servers[0]",
        "port 2906 is not that of 192.0.2.10:2905/sctp, and SCTP keeps its ports: the checksum covers them",
    )


@pytest.mark.parametrize("ports", ["2905-2910", "*"])
def test_a_range_of_ports_is_served_by_real_servers_without_one(ports: str):
    text = SCTP.replace("192.0.2.10:2905", f"192.0.2.10:{ports}").replace("21:2905", "21:*")
    text += '[virtual_servers.monitor]\ntype = "tcp"\nport = 22\n'
    assert len(config.parse(text, source="f").virtual_servers) == 1


def test_fullnat_is_refused():
    found = {where: problem for where, problem, _ in problems(SCTP.replace('"nat"', '"fullnat"'))}
    assert found["f:9: virtual_servers[0].real_servers[0]"] == (
        "method fullnat changes ports, and 192.0.2.10:2905/sctp must keep them: the checksum covers them"
    )


def test_timeouts_of_sctp_are_set_by_state():
    cluster = config.parse(SCTP + "\n[timeouts.sctp]\nestablished = 120\n", source="f")
    found = dict(cluster.timeouts)
    assert found[ConnectionState.SCTP_ESTABLISHED] == 120.0
    assert found[ConnectionState.ESTABLISHED] == 900.0
    assert found[ConnectionState.SCTP_INIT1] == 4.0
