"""``shoal``: the command line. A front end over the control API; nothing here talks to the kernel.

A module that is slow to import is imported by the command that needs it, so that ``shoal --help`` is quick.
"""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import realserver
from shoal.cli.duration import seconds
from shoal.errors import ConfigErrors, ShoalError, UnavailableError
from shoal.system.places import Places

if TYPE_CHECKING:
    from shoal.cli.client import Client

FOLLOW_WAIT = 30  # s that one request of `events --follow` waits
INTERRUPTED = 130  # as a shell counts a process that SIGINT ended

_DEFAULT = Places()
_UNWRAPPED = {"help_option_names": ["-h", "--help"]}

RunDir = Annotated[Path, typer.Option(help="Where the running Shoal keeps its sockets.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]

app = typer.Typer(
    help="A Linux Virtual Server cluster: routers, floating addresses, health checks, an eBPF dataplane.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_UNWRAPPED,
)


app.add_typer(
    realserver.app, name="realserver", help="Make this host a real server for direct routing, or check it."
)


@app.command(epilog="Example: shoal run -c /etc/shoal/shoal.toml")
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")],
    router: Annotated[
        str | None, typer.Option(help="Which router this is; else found by name or address.", metavar="NAME")
    ] = None,
    run_dir: Annotated[Path, typer.Option(help="Sockets and locks.", metavar="DIR")] = _DEFAULT.run,
    state_dir: Annotated[Path, typer.Option(help="Journal, last health.", metavar="DIR")] = _DEFAULT.state,
    bpf_dir: Annotated[Path, typer.Option(help="Pins, on a bpffs.", metavar="DIR")] = _DEFAULT.pins,
    dataplane: Annotated[
        str, typer.Option(help="ebpf, or fake: in memory, forwards nothing.", metavar="NAME")
    ] = "ebpf",
) -> None:
    """Run a router, until SIGTERM or Ctrl-C.

    SIGHUP, or `shoal reload`, reads FILE again.
    """
    from shoal.supervisor.run import run as run_router

    if dataplane not in ("ebpf", "fake"):
        raise typer.BadParameter("it is ebpf or fake", param_hint="--dataplane")
    places = Places(run=run_dir, state=state_dir, pins=bpf_dir)
    raise typer.Exit(run_router(config, router=router, places=places, dataplane=dataplane))


@app.command(epilog="Example: shoal check /etc/shoal/shoal.toml")
def check(
    file: Annotated[Path, typer.Argument(help="The configuration file.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Check a configuration file; changes nothing.

    Says everything that is wrong with it, where, and how to put it right.
    """
    from shoal.cli.check import summary
    from shoal.config import load

    cluster = load(file)
    found = summary(cluster)
    if as_json:
        _print_json(found)
        return
    print(f"{file}: right")
    for name, value in found.items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"  {name.replace('_', ' '):16} {text}")


@app.command(epilog="Example: shoal status --json")
def status(run_dir: RunDir = _DEFAULT.run, as_json: Json = False) -> None:
    """Show this router at a glance.

    State, addresses, links, peers, dataplane, and alarms: what you should act on.
    """
    answer = _client(run_dir).get("status")
    if as_json:
        _print_json(answer)
        return
    from shoal.cli import render

    _show(render.render_status(answer, now=time.time()))


@app.command(epilog="Example: shoal servers")
def servers(run_dir: RunDir = _DEFAULT.run, as_json: Json = False) -> None:
    """List the virtual servers and their real servers.

    With health, weight, active and inactive connections, and bytes in and out.
    """
    answer = _client(run_dir).get("servers")
    if as_json:
        _print_json(answer)
        return
    from shoal.cli import render

    _show(render.render_servers(answer, now=time.time()))


@app.command(epilog="Example: shoal connections --limit 20")
def connections(
    run_dir: RunDir = _DEFAULT.run,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most how many.")] = 100,
    templates: Annotated[
        bool, typer.Option("--templates", help="What persistence remembers, instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List connections that the dataplane holds."""
    answer = _client(run_dir).get("templates" if templates else "connections", limit=limit)
    if as_json:
        _print_json(answer)
        return
    from shoal.cli import render

    _show(render.render_templates(answer) if templates else render.render_connections(answer))


@app.command(epilog="Example: shoal events --follow")
def events(
    run_dir: RunDir = _DEFAULT.run,
    after: Annotated[
        int | None, typer.Option(min=0, help="Only what follows this entry.", metavar="SEQ")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most how many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; a line each with --follow.")
    ] = False,
) -> None:
    """Show the journal: what happened here, and why."""
    client = _client(run_dir)
    query = {} if after is None else {"after": after}
    answer = client.get("events", limit=limit, **query)
    if as_json and not follow:
        _print_json(answer)
        return
    _show_events(answer["events"], as_json=as_json)
    while follow:
        answer = client.get("events", after=answer["next"], wait=FOLLOW_WAIT)
        _show_events(answer["events"], as_json=as_json)


@app.command(epilog="Example: shoal drain www 10.0.1.21:80 --deadline 5m --cut")
def drain(
    virtual: Annotated[str, typer.Argument(help="The virtual server.", metavar="VIRTUAL")],
    real: Annotated[str, typer.Argument(help="Its real server: name or ADDRESS:PORT.", metavar="REAL")],
    run_dir: RunDir = _DEFAULT.run,
    deadline: Annotated[
        str,
        typer.Option(help="When it should be over: 90s, 5m, none; else its drain_timeout.", metavar="TIME"),
    ] = "",
    cut: Annotated[bool, typer.Option("--cut", help="End what is left at the deadline.")] = False,
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="End all of its connections now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Give a real server no new connections; the journal says when it has none left."""
    order: dict[str, Any] = {"virtual_server": virtual, "real_server": real, "cut": cut}
    order |= {"deadline": seconds(deadline), "state": "maintenance" if maintenance else "drain"}
    answer = _client(run_dir).post("drain", **order)
    if as_json:
        _print_json(answer)
        return
    what = "is in maintenance" if maintenance else "drains"
    print(f"{answer['real_server']} of {virtual} {what}; `shoal servers` shows what is left")


@app.command(epilog="Example: shoal undrain www 10.0.1.21:80")
def undrain(
    virtual: Annotated[str, typer.Argument(help="The virtual server.", metavar="VIRTUAL")],
    real: Annotated[str, typer.Argument(help="Its real server: name or ADDRESS:PORT.", metavar="REAL")],
    run_dir: RunDir = _DEFAULT.run,
    as_json: Json = False,
) -> None:
    """Give a real server new connections again."""
    answer = _client(run_dir).post("undrain", virtual_server=virtual, real_server=real)
    if as_json:
        _print_json(answer)
        return
    print(f"{answer['real_server']} of {virtual} gets new connections again")


@app.command(epilog="Example: shoal failover --to lb2")
def failover(
    run_dir: RunDir = _DEFAULT.run,
    to: Annotated[str, typer.Option(help="The router to hand over to; else any peer.", metavar="NAME")] = "",
    as_json: Json = False,
) -> None:
    """Hand the floating addresses to another router."""
    answer = _client(run_dir).post("failover", to=to)
    if as_json:
        _print_json(answer)
        return
    print(f"handing over to {to or 'a peer'}; `shoal events` shows how it goes")


@app.command(epilog="Example: shoal reload")
def reload(run_dir: RunDir = _DEFAULT.run, as_json: Json = False) -> None:
    """Put the changed configuration file in force.

    When it is wrong, its errors are shown and everything goes on as it was.
    """
    answer = _client(run_dir).post("reload")
    if as_json:
        _print_json(answer)
        return
    what = "in force" if answer["changed"] else "in force, nothing changed"
    print(f"serial {answer['serial']}, {answer['digest'][:12]}: {what}")


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
    epilog="Example: shoal lab up",
)
def lab(context: typer.Context) -> None:
    """Build a cluster in network namespaces; break it."""
    try:
        from shoal.lab.cli import app as lab_app
    except ModuleNotFoundError as error:
        raise UnavailableError(
            problem=f"the lab cannot be loaded: {error}", where="shoal lab", fix="install Shoal completely"
        ) from error
    lab_app(args=context.args, prog_name="shoal lab")


@app.command(epilog="Example: shoal version")
def version(as_json: Json = False) -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        found = version_of("shoal")
    except PackageNotFoundError:
        found = "unknown (not installed as a package)"
    if as_json:
        _print_json({"version": found})
        return
    print(f"shoal {found}")


def main() -> None:
    """Run the command line; an error is told on standard error, its exit status is that of its class."""
    try:
        app(prog_name="shoal")
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        if "--json" in sys.argv:
            _print_json({"error": _told(error)})
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _told(error: ShoalError) -> dict[str, Any]:
    told: dict[str, Any] = {"problem": error.problem, "where": error.where, "fix": error.fix}
    if isinstance(error, ConfigErrors):
        told["errors"] = [_told(each) for each in error.errors]
    return {**told, "exit_code": error.exit_code}


def _client(run_dir: Path) -> "Client":
    from shoal.cli.client import Client

    return Client(Places(run=run_dir).api_socket)


def _print_json(answer: Any) -> None:
    print(json.dumps(answer))


def _show(parts: list[Any]) -> None:
    from shoal.cli import render

    console = render.console()
    for part in parts:
        console.print(part)


def _show_events(entries: list[Any], *, as_json: bool) -> None:
    if as_json:
        for entry in entries:
            print(json.dumps(entry), flush=True)
        return
    _show([_event_line(entry) for entry in entries])
    sys.stdout.flush()


def _event_line(entry: Any) -> Any:
    from shoal.cli import render

    return render.render_event(entry)
