"""``shoal realserver``: what a real server under dr or tunnel needs. It runs on the real server, not on a router."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.errors import ConfigError
from shoal.model import GUE_PORT, Encapsulation
from shoal.system.places import Places

if TYPE_CHECKING:
    from shoal.model import Address
    from shoal.realserver.shell import RealServer
    from shoal.realserver.tunnels import Tunnel

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_DEFAULT = Places()
_OPENERS = {"kernel": "a device of the kernel", "ebpf": "Shoal's BPF program"}
_HELP = {
    "config": "Take the virtual addresses from this configuration file.",
    "vip": "A virtual address, IPv4 or IPv6; repeat it.",
    "method": "How packets for --vip reach this host.",
    "encap": "What they travel in, by method tunnel.",
}


class _VipMethod(StrEnum):
    DR = "dr"
    TUNNEL = "tunnel"


Config = Annotated[Path | None, typer.Option("--config", "-c", help=_HELP["config"], metavar="FILE")]
Vip = Annotated[list[str] | None, typer.Option("--vip", help=_HELP["vip"], metavar="ADDRESS")]
Method = Annotated[_VipMethod, typer.Option("--method", help=_HELP["method"])]
Encap = Annotated[Encapsulation, typer.Option("--encap", help=_HELP["encap"])]
EncapPort = Annotated[int, typer.Option("--encap-port", min=1, max=65535, help="UDP port of gue.")]
BpfDir = Annotated[
    Path,
    typer.Option(help="As shoal run's; the program that opens packets is pinned beside it.", metavar="DIR"),
]
RunDir = Annotated[Path, typer.Option(help="Keeps the settings that were there before.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


@app.command(epilog="Example: shoal realserver apply --vip 192.0.2.10")
def apply(
    vip: Vip = None,
    method: Method = _VipMethod.DR,
    encap: Encap = Encapsulation.IPIP,
    encap_port: EncapPort = GUE_PORT,
    config: Config = None,
    run_dir: RunDir = _DEFAULT.run,
    bpf_dir: BpfDir = _DEFAULT.pins,
    as_json: AsJson = False,
) -> None:
    """Put the virtual addresses on lo, unknown to neighbours, and open the packets that come in tunnels."""
    with _this_host(run_dir, bpf_dir) as host:
        wanted, tunnels = _wanted(vip, config, host, kind=(method, encap, encap_port))
        host.apply(wanted, tunnels)
        opened = {str(each): how for each, how in host.opened_by(tunnels, wanted).items()}
        advice = host.advice(tunnels)
    shown = [str(address) for address in wanted]
    lines = [f"on lo, unknown to neighbours: {', '.join(shown)}"]
    lines += [f"opened by {_OPENERS[how]}: {each}" for each, how in opened.items()]
    document = {"virtual_addresses": shown, "tunnels": opened, "advice": advice}
    _print(document, as_json=as_json, text="\n".join([*lines, *advice]))


@app.command(epilog="Example: shoal realserver check -c shoal.toml")
def check(
    vip: Vip = None,
    method: Method = _VipMethod.DR,
    encap: Encap = Encapsulation.IPIP,
    encap_port: EncapPort = GUE_PORT,
    config: Config = None,
    run_dir: RunDir = _DEFAULT.run,
    bpf_dir: BpfDir = _DEFAULT.pins,
    as_json: AsJson = False,
) -> None:
    """Say what keeps this host from serving by dr or tunnel; exit status 1 when something does."""
    with _this_host(run_dir, bpf_dir) as host:
        wanted, tunnels = _wanted(vip, config, host, kind=(method, encap, encap_port))
        faults = host.check(wanted, tunnels)
        advice = host.advice(tunnels)
    told = [{"where": each.where, "problem": each.problem, "fix": each.fix} for each in faults]
    lines = [f"{each.where}: {each.problem}\n  fix: {each.fix}" for each in faults] or ["right"]
    document = {"virtual_addresses": [str(each) for each in wanted], "faults": told, "advice": advice}
    _print(document, as_json=as_json, text="\n".join([*lines, *advice]))
    if faults:
        raise typer.Exit(1)


@app.command(epilog="Example: shoal realserver remove")
def remove(run_dir: RunDir = _DEFAULT.run, bpf_dir: BpfDir = _DEFAULT.pins, as_json: AsJson = False) -> None:
    """Undo apply: the addresses go, tunnels are closed, the settings are as they were before."""
    with _this_host(run_dir, bpf_dir) as host:
        gone = list(host.remove())
    _print({"removed": gone}, as_json=as_json, text=f"removed: {', '.join(gone) or 'nothing'}")


@contextmanager
def _this_host(run_dir: Path, bpf_dir: Path) -> Iterator["RealServer"]:
    from shoal.realserver.shell import RealServer

    places = Places(run=run_dir, pins=bpf_dir)
    host = RealServer(places.realserver, places.realserver_pins)
    try:
        yield host
    finally:
        host.close()


def _wanted(
    vips: list[str] | None,
    config: Path | None,
    host: "RealServer",
    *,
    kind: tuple[_VipMethod, Encapsulation, int],
) -> "tuple[tuple[Address, ...], tuple[Tunnel, ...]]":
    """The virtual addresses and the tunnels; of --vip, ``kind`` says how packets come (to any address of ours)."""
    from shoal.config import load
    from shoal.realserver.tunnels import tunnel, tunnels_of
    from shoal.realserver.wanted import virtual_addresses

    if bool(vips) == bool(config):
        raise ConfigError(
            where="shoal realserver", problem="which addresses?", fix="give --vip or -c, not both"
        )
    method, encap, port = kind
    wanted = tuple(dict.fromkeys(_address(text) for text in vips or ()))
    own = tuple(each for each in host.own_addresses() if each not in wanted)
    if config is None:
        ends = own if method is _VipMethod.TUNNEL else ()
        return wanted, tuple(tunnel(each, encap, port) for each in ends)
    cluster = load(config, reads_key=False)
    found = virtual_addresses(cluster, own=own)
    if not found:
        raise ConfigError(
            where=str(config),
            problem=f"no virtual server has this host ({', '.join(map(str, own))}) as a real server by dr or tunnel",
            fix='list this host in real_servers with method = "dr" or "tunnel", or use --vip',
        )
    return found, tunnels_of(cluster, own=own)


def _address(text: str) -> "Address":
    from shoal.config.notation import routable_address

    try:
        return routable_address(text)
    except ConfigError as error:
        raise ConfigError(where="--vip", problem=error.problem, fix=error.fix) from error


def _print(document: dict[str, Any], *, as_json: bool, text: str) -> None:
    print(json.dumps(document) if as_json else text)
