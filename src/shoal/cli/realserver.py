"""``shoal realserver``: what a real server under direct routing needs. It runs on the real server, not on a router."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.errors import ConfigError
from shoal.system.places import Places

if TYPE_CHECKING:
    from shoal.realserver.shell import RealServer

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_DEFAULT = Places()
_HELP = {
    "config": "Take the virtual addresses from this configuration file.",
    "vip": "A virtual address; repeat it.",
}
Config = Annotated[Path | None, typer.Option("--config", "-c", help=_HELP["config"], metavar="FILE")]
Vip = Annotated[list[str] | None, typer.Option("--vip", help=_HELP["vip"], metavar="ADDRESS")]
RunDir = Annotated[Path, typer.Option(help="Keeps the settings that were there before.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


@app.command(epilog="Example: shoal realserver apply --vip 192.0.2.10")
def apply(
    vip: Vip = None, config: Config = None, run_dir: RunDir = _DEFAULT.run, as_json: AsJson = False
) -> None:
    """Put the virtual addresses on lo, and let this host not answer ARP for them."""
    with _this_host(run_dir) as host:
        wanted = _wanted(vip, config, host)
        host.apply(wanted)
    shown = [str(address) for address in wanted]
    _print({"virtual_addresses": shown}, as_json=as_json, text=f"on lo, silent in ARP: {', '.join(shown)}")


@app.command(epilog="Example: shoal realserver check -c shoal.toml")
def check(
    vip: Vip = None, config: Config = None, run_dir: RunDir = _DEFAULT.run, as_json: AsJson = False
) -> None:
    """Say what keeps this host from serving by direct routing; exit status 1 when something does."""
    with _this_host(run_dir) as host:
        wanted = _wanted(vip, config, host)
        faults = host.check(wanted)
    told = [{"where": each.where, "problem": each.problem, "fix": each.fix} for each in faults]
    lines = [f"{each.where}: {each.problem}\n  fix: {each.fix}" for each in faults]
    document = {"virtual_addresses": [str(address) for address in wanted], "faults": told}
    _print(document, as_json=as_json, text="\n".join(lines) or "right")
    if faults:
        raise typer.Exit(1)


@app.command(epilog="Example: shoal realserver remove")
def remove(run_dir: RunDir = _DEFAULT.run, as_json: AsJson = False) -> None:
    """Undo apply: the addresses go, the ARP settings are as they were before."""
    with _this_host(run_dir) as host:
        gone = list(host.remove())
    _print({"removed": gone}, as_json=as_json, text=f"removed: {', '.join(gone) or 'nothing'}")


@contextmanager
def _this_host(run_dir: Path) -> Iterator["RealServer"]:
    from shoal.realserver.shell import RealServer

    host = RealServer(Places(run=run_dir).realserver)
    try:
        yield host
    finally:
        host.close()


def _wanted(vips: list[str] | None, config: Path | None, host: "RealServer") -> tuple[IPv4Address, ...]:
    from shoal.config import load
    from shoal.realserver.wanted import virtual_addresses

    if bool(vips) == bool(config):
        raise ConfigError(
            where="shoal realserver", problem="which addresses?", fix="give --vip or -c, not both"
        )
    if config is None:
        return tuple(dict.fromkeys(_address(text) for text in vips or ()))
    own = host.own_addresses()
    found = virtual_addresses(load(config, reads_key=False), own=own)
    if not found:
        raise ConfigError(
            where=str(config),
            problem=f"no virtual server has this host ({', '.join(map(str, own))}) as a real server by dr",
            fix='list this host in real_servers with method = "dr", or use --vip',
        )
    return found


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError as error:
        raise ConfigError(where="--vip", problem=str(error), fix="write it like 192.0.2.10") from error


def _print(document: dict[str, Any], *, as_json: bool, text: str) -> None:
    print(json.dumps(document) if as_json else text)
