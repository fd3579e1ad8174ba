"""What people read: the API's answers as text that fits 80 columns. Colour only where a terminal shows it."""

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shoal.model import endpoint

PLAIN_WIDTH = 80
_STYLES = {
    "active": "bold green",
    "backup": "cyan",
    "init": "yellow",
    "fault": "bold red",
    "up": "green",
    "down": "red",
    "unknown": "yellow",
}
_UNITS = ("", "k", "M", "G", "T", "P")


def console() -> Console:
    """Standard output: the terminal's width, or 80 columns where it is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, soft_wrap=False)


def render_status(status: Mapping[str, Any], *, now: float) -> list[Text | Table]:
    """The router at a glance."""
    head = Text.assemble((status["router"], "bold"), "  ", _state(status["state"]))
    head.append(f"  {age(status['since'], now=now)}  epoch {status['epoch']}  cluster {status['cluster']}")
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for label, value in _status_rows(status):
        rows.add_row(label, value)
    alarms = [Text(f"! {alarm}", style="red") for alarm in status["alarms"]]
    return [head, rows, *(alarms or [Text("no alarms", style="green")])]


def _status_rows(status: Mapping[str, Any]) -> Iterable[tuple[str, Text]]:
    config, dataplane = status["config"], status["dataplane"]
    yield "addresses", Text(", ".join(status["addresses"]) or "none")
    links = (
        Text.assemble(f"{path} ", _state("up" if up else "down")) for path, up in status["links"].items()
    )
    yield "links", Text(", ").join(links) or Text("unknown")
    for peer in status["peers"]:
        heard = ", ".join(peer["paths_heard"]) or "no path"
        yield f"peer {peer['name']}", Text.assemble(_state(peer["state"]), f", heard on {heard}")
    yield "config", Text(f"serial {config['serial']}, {config['digest'][:12]}, {config['file']}")
    for each in dataplane["attachments"]:
        yield dataplane["name"], Text(f"{each['interface']} by {each['hook']}: {each['reason']}")
    held = f"{dataplane['connections_held']:,} of {dataplane['connections_limit']:,}"
    if dataplane["local_ports_held"]:
        held += f" ({dataplane['local_ports_held']:,} by fullnat)"
    if dataplane["ipv6_connections_limit"]:
        held += f", IPv6 {dataplane['ipv6_connections_held']:,} of {dataplane['ipv6_connections_limit']:,}"
    yield "connections", Text(held)
    drops = ", ".join(f"{reason} {count:,}" for reason, count in sorted(dataplane["drops"].items()))
    yield "drops", Text(drops or "none")
    children = (f"{name} {'connected' if there else 'away'}" for name, there in status["children"].items())
    yield "children", Text(", ".join(children))


def render_servers(servers: Mapping[str, Any], *, now: float) -> list[Text | Table]:
    """Each virtual server with its real servers."""
    shown: list[Text | Table] = []
    for virtual in servers["virtual_servers"]:
        head = Text.assemble((virtual["name"], "bold"), f"  {' '.join(virtual['listeners'])}")
        how = " ".join((virtual["scheduler"], *virtual["scheduler_flags"], virtual["method"]))
        head.append(f"  {how}  {short(virtual['connections'])} connections")
        shown += [head, _real_servers(virtual["real_servers"], now=now, method=virtual["method"])]
        unwell = [each for each in virtual["real_servers"] if each["health"] != "up" and each["reason"]]
        shown += [Text(f"  {each['name']}: {each['reason']}", style="yellow") for each in unwell]
        if virtual["stateless_packets"]:
            text = f"  {short(virtual['stateless_packets'])} packets balanced without an entry: the table was full"
            shown.append(Text(text, style="yellow"))
        if virtual["drops"]:
            drops = ", ".join(f"{reason} {count:,}" for reason, count in sorted(virtual["drops"].items()))
            shown.append(Text(f"  dropped: {drops}", style="red"))
    return shown or [Text("no virtual servers")]


def _real_servers(real_servers: Iterable[Mapping[str, Any]], *, now: float, method: str) -> Table:
    """A line each, or more where a name is long: the end of an IPv6 address is what tells it from its neighbours.

    A forwarding method is named where it is not ``method``, that of the virtual server.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("  real server", overflow="fold", max_width=24)
    table.add_column("health", no_wrap=True)
    for name in ("weight", "active", "inact", "conns", "in", "out"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in real_servers:
        health = Text.assemble(_state(each["health"]), f" {age(each['since'], now=now)}")
        counts = (
            short(each[name]) for name in ("active", "inactive", "connections", "bytes_in", "bytes_out")
        )
        state = each["state"]
        if state != "in":
            health.append(f" {state}", style="yellow")
        name = _real_name(each) if each["method"] == method else f"{_real_name(each)} {each['method']}"
        table.add_row(Padding(Text(name), (0, 0, 0, 2)), health, str(each["weight"]), *counts)
    return table


def _real_name(real: Mapping[str, Any]) -> str:
    shown = endpoint(ip_address(real["address"]), real["port"])
    return shown if real["name"] == shown else f"{real['name']} {shown}"


def render_connections(connections: Mapping[str, Any]) -> list[Text | Table]:
    """One connection a line; IPv6 addresses that do not fit go on beneath themselves."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("proto", "client", "virtual", "real", "state"):
        table.add_column(name, no_wrap=name in ("proto", "state"), overflow="fold")
    table.add_column("expires", justify="right", no_wrap=True)
    for each in connections["connections"]:
        columns = (each[name] for name in ("protocol", "client", "virtual", "real", "state"))
        table.add_row(*columns, f"{each['expires_in']:.0f} s")
    shown, held = len(connections["connections"]), connections["held"]
    return [table, Text(f"{shown:,} shown of {held:,} held (limit {connections['limit']:,})", style="dim")]


def render_templates(templates: Mapping[str, Any]) -> list[Text | Table]:
    """One persistence template a line."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("virtual server", "clients", "real"):
        table.add_column(name, overflow="fold")
    for name in ("connections", "expires"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in templates["templates"]:
        columns = (each[name] for name in ("virtual_server", "network", "real"))
        table.add_row(*columns, str(each["connections"]), f"{each['expires_in']:.0f} s")
    return [table, Text(f"{len(templates['templates']):,} shown", style="dim")]


def render_event(event: Mapping[str, Any]) -> Table:
    """One journal entry: number, time, event, fields and cause; what does not fit goes on beneath itself."""
    at = datetime.fromtimestamp(event["at"]).strftime("%m-%d %H:%M:%S.%f")[:-3]
    line = Text(event["event"], style="bold")
    fields = " ".join(f"{name}={value}" for name, value in event["fields"].items() if value != "")
    if fields:
        line.append(f" {fields}", style="not bold")
    if event["cause"]:
        line.append(f": {event['cause']}", style="not bold dim")
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=5, justify="right", style="dim")
    row.add_column(style="dim", no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(str(event["seq"]), at, line)
    return row


def age(since: float, *, now: float) -> str:
    """How long ago, in two characters of precision: ``12s``, ``5m``, ``3h``, ``9d``."""
    if not since:
        return "-"
    seconds = max(0, int(now - since))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def short(count: int) -> str:
    """A count in at most four characters: ``999``, ``12k``, ``1.5M``."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return str(count)
    return f"{value:.1f}{_UNITS[unit]}" if value < 9.95 else f"{value:.0f}{_UNITS[unit]}"


def _state(word: str) -> Text:
    return Text(word, style=_STYLES.get(word, ""))
