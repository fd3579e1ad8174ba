"""``shoal lab``: a whole cluster in network namespaces on this machine."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal.lab import cluster, drills, namespaces, report, score
from shoal.lab.drill import Drill
from shoal.lab.measure import longest_outage
from shoal.lab.networks import Family
from shoal.lab.picture import picture
from shoal.lab.promises import broken_by
from shoal.lab.topology import DEFAULT_NAME, Topology
from shoal.lab.trial import try_lab
from shoal.model import Encapsulation, ForwardingMethod, Hook

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Build a whole cluster in network namespaces on this machine, and break it on purpose.",
)

Name = Annotated[str, typer.Option("--name", help="The lab's name: the prefix of its namespaces.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def up(
    forward: Annotated[ForwardingMethod, typer.Option(help="Forwarding method.")] = ForwardingMethod.NAT,
    encap: Annotated[
        Encapsulation, typer.Option(help="By tunnel: what packets travel in.")
    ] = Encapsulation.IPIP,
    family: Annotated[Family, typer.Option(help="Family of every address: IPv4 or IPv6.")] = Family.IPV4,
    routers: Annotated[int, typer.Option(help="How many LVS routers.")] = 2,
    real_servers: Annotated[int, typer.Option(help="How many real servers.")] = 3,
    hook: Annotated[Hook, typer.Option(help="Where the dataplane takes packets from.")] = Hook.AUTO,
    name: Name = DEFAULT_NAME,
) -> None:
    """Build a lab and wait until its cluster serves. A lab of that name that is there is replaced.

    Example: shoal lab up --routers 2 --real-servers 3
    """
    topology = Topology(
        name=name,
        router_count=routers,
        real_server_count=real_servers,
        forward=forward,
        hook=hook,
        family=family,
        encap=encap,
    )
    with cluster.locked(name):
        cluster.up(topology, say=_say)
    typer.echo(f"try: shoal lab exec{_option(name)} client -- curl {topology.url}")


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    node: Annotated[str, typer.Argument(help="client, lb1, lb2, ..., rs1, rs2, ..., or net (the switch).")],
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, after --.")],
    name: Name = DEFAULT_NAME,
) -> None:
    """Run a program in a node's network namespace; the exit status is the program's.

    Example: shoal lab exec client -- curl http://10.210.0.100/
    """
    namespaces.require_root()
    namespace = cluster.find(name).topology.namespace(node)
    arguments = command[1:] if command[0] == "--" else command
    entered = namespaces.enter(namespace, arguments)
    os.execvp(entered[0], entered)


@app.command()
def status(as_json: AsJson = False, name: Name = DEFAULT_NAME) -> None:
    """Say how the routers and real servers of a lab are.

    Example: shoal lab status --json
    """
    namespaces.require_root()
    document = cluster.find(name).status()
    _print(document, as_json=as_json, text=report.status)


@app.command("try")
def try_out(as_json: AsJson = False, name: Name = DEFAULT_NAME) -> None:
    """Send real traffic through a lab that is up: HTTP, DNS over UDP, a large file down and much data up.

    Example: shoal lab try
    """
    lab = cluster.find(name)
    with cluster.locked(name):
        document = try_lab(lab)
    _print(document, as_json=as_json, text=report.trial)
    if not document["passed"]:
        raise typer.Exit(1)


@app.command()
def drill(
    which: Annotated[
        str, typer.Argument(metavar="NAME", help=f"One of {', '.join(drills.DRILLS)}, or all of them: all.")
    ],
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="How many runs.")] = 1,
    interval: Annotated[float, typer.Option(min=1, max=1000, help="Probe every so many ms.")] = 2.0,
    percent: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Of a syn-flood: share of the router's capacity.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.5, max=120, help="Of a syn-flood: how long.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the worst run into this file.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="With all: write the table into this Markdown file.")
    ] = None,
    as_json: AsJson = False,
    name: Name = DEFAULT_NAME,
) -> None:
    """Break the cluster on purpose at a random moment, and measure what a client notices.

    The exit status is 1 when a drill does not keep what it promises.

    Example: shoal lab drill kill-active --repeat 10
    """
    if which == "all":
        every = drills.every(percent=percent, seconds=seconds)
        _drill_all(
            every, cluster.find(name), repeat=repeat, interval=interval / 1000, page=page, as_json=as_json
        )
        return
    chosen = drills.find(which, percent=percent, seconds=seconds)
    lab = cluster.find(name)
    with cluster.locked(name):
        runs = drills.run(lab, chosen, repeat=repeat, interval=interval / 1000, say=_say)
    if svg is not None:
        worst = max(runs, key=lambda run: longest_outage(run.samples))
        svg.write_text(picture([score.view(worst, lab.topology, title=f"{which} {worst.target}")]))
    document = score.document(which, runs)
    _print(document, as_json=as_json, text=report.drill)
    _judge([document])


def _drill_all(
    every: Sequence[Drill],
    lab: cluster.Lab,
    *,
    repeat: int,
    interval: float,
    page: Path | None,
    as_json: bool,
) -> None:
    """Every drill in turn."""
    documents = []
    with cluster.locked(lab.topology.name):
        for each in every:
            times = min(repeat, each.most_runs)
            runs = drills.run(lab, each, repeat=times, interval=interval, say=_say)
            documents.append(score.document(each.name, runs))
    if page is not None:
        page.write_text(report.drills_page(documents, machine=platform.release()))
    _print({"drills": documents}, as_json=as_json, text=lambda found: report.drills_table(found["drills"]))
    _judge(documents)


def _judge(documents: Sequence[dict[str, Any]]) -> None:
    """Name the promises that were not kept; exit status 1 when there are any."""
    broken = [f"{found['drill']}: {says}" for found in documents for says in broken_by(found)]
    for line in broken:
        _say(f"not kept: {line}")
    if broken:
        raise typer.Exit(1)


@app.command()
def down(name: Name = DEFAULT_NAME) -> None:
    """Remove a lab: processes, namespaces, pins and files. It is no error when there is none.

    Example: shoal lab down
    """
    with cluster.locked(name):
        was_there = cluster.down(name)
    typer.echo(f"lab {name} is gone" if was_there else f"there is no lab {name}")


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _option(name: str) -> str:
    return "" if name == DEFAULT_NAME else f" --name {name}"


def _print(document: dict[str, Any], *, as_json: bool, text: Any) -> None:
    typer.echo(json.dumps(document, indent=2) if as_json else text(document))
