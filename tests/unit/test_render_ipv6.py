"""What people read of IPv6: whole addresses within 80 columns."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

import msgspec
import pytest
from rich.table import Table
from rich.text import Text

from shoal.cli.render import console, render_connections, render_servers, render_status
from shoal.dataplane.base import Counters
from shoal.lvsd import view
from shoal.model import RealServer
from support.clusters import cluster
from support.memory_dataplane import CONNECTION
from support.snapshots import NOW, snapshot

LONG = ip_address("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1")


def printed(shown: Iterable[Text | Table], capsys: pytest.CaptureFixture[str]) -> list[str]:
    for each in shown:
        console().print(each)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_long_client_address_goes_on_beneath_itself(capsys: pytest.CaptureFixture[str]) -> None:
    entry = view.connection(
        replace(CONNECTION, client=(LONG, 40_000), virtual=(ip_address("2001:db8::10"), 80))
    )
    shown = view.ConnectionsView(connections=(entry,), held=1, limit=1024)
    assert printed(render_connections(msgspec.to_builtins(shown)), capsys) == [
        "proto client                 virtual           real         state       expires",
        "tcp   [2001:db8:aaaa:bbbb:cc [2001:db8::10]:80 10.0.1.21:80 established   900 s",
        "      cc:dddd:eeee:1]:40000",
        "1 shown of 1 held (limit 1,024)",
    ]


def test_a_long_real_server_goes_on_beneath_itself(capsys: pytest.CaptureFixture[str]) -> None:
    www = cluster().virtual_servers[0]
    short = RealServer(name="rs2", address=ip_address("2001:db8:1::2"), port=80)
    long = RealServer(name="[2001:db8:aaaa:bbbb:cccc:dddd:eeee:1]:80", address=LONG, port=80)
    both = replace(cluster(), virtual_servers=(replace(www, real_servers=(short, long)),))
    shown = view.servers(snapshot(cluster=both, health={}, counters=Counters()))
    lines = printed(render_servers(msgspec.to_builtins(shown), now=NOW), capsys)
    assert [line[:25].rstrip() for line in lines[2:5]] == [
        "  rs2 [2001:db8:1::2]:80",
        "  [2001:db8:aaaa:bbbb:cc",
        "  cc:dddd:eeee:1]:80",
    ]
    assert all(len(line) <= 80 for line in lines)


def test_status_tells_of_the_ipv6_table_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    def connections(counters: Counters) -> str:
        status = msgspec.to_builtins(view.status(snapshot(counters=counters)))
        return next(
            line for line in printed(render_status(status, now=NOW), capsys) if line.startswith("connections")
        )

    both = Counters(
        connections_held=1, connections_limit=1024, ipv6_connections_held=2, ipv6_connections_limit=2048
    )
    assert connections(both) == "connections  1 of 1,024, IPv6 2 of 2,048"
    assert connections(Counters(connections_held=1, connections_limit=1024)) == "connections  1 of 1,024"
