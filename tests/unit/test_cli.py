"""The command line: what it prints at 80 columns, what it prints for programs, and how it ends."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from shoal.cli import main as cli
from shoal.cli.render import render_servers
from shoal.errors import ConfigErrors, NotFoundError, UnavailableError
from shoal.lvsd.view import servers
from shoal.model import ForwardingMethod
from support.clusters import ONE_ROUTER
from support.served_api import served
from support.snapshots import NOW, ShownLvsd, snapshot


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def lvsd(tmp_path: Path) -> Iterator[ShownLvsd]:
    shown = ShownLvsd()
    with served(shown, tmp_path):
        yield shown


def shoal(tmp_path: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, [command, "--run-dir", str(tmp_path), *arguments])


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in result.output.splitlines()]


def test_status_fits_80_columns(tmp_path: Path, lvsd: ShownLvsd) -> None:
    assert lines(shoal(tmp_path, "status")) == [
        "lb1  active  90s  epoch 3  cluster web",
        "addresses    192.0.2.10/32",
        "links        public up, private up",
        "peer lb2     backup, heard on public, private",
        f"config       serial 7, {lvsd.shown.cluster.digest.hex()[:12]}, /etc/shoal/shoal.toml",
        "memory       eth0 by tc: a veth has no native XDP",
        "connections  1 of 1,024",
        "drops        fragment_without_first 4, no_real_server 3",
        "children     pulse connected, nanny connected",
        "no alarms",
    ]


def test_status_of_a_router_in_trouble_ends_with_its_alarms(tmp_path: Path, lvsd: ShownLvsd) -> None:
    lvsd.shown = snapshot(health={}, children={"pulse": False, "nanny": True})
    assert lines(shoal(tmp_path, "status"))[-3:] == [
        "children     pulse away, nanny connected",
        "! no real server of www is up",
        "! pulse is not connected",
    ]


def test_servers_fit_80_columns(tmp_path: Path, lvsd: ShownLvsd) -> None:
    assert lines(shoal(tmp_path, "servers")) == [
        "www  192.0.2.10:80/tcp  wlc nat  3 connections",
        "  real server  health   weight active inact conns in out",
        "  10.0.1.21:80 up 60s        1      1     2     3  5   7",
        "  10.0.1.22:80 down 60s      1      0     0     0  0   0",
        "  10.0.1.22:80: HTTP 503, expected 200-399",
        "  dropped: no_real_server 2",
    ]


def test_a_real_server_with_a_method_of_its_own_says_so(tmp_path: Path, lvsd: ShownLvsd) -> None:
    www = lvsd.shown.cluster.virtual_servers[0]
    first, second = www.real_servers
    mixed = replace(www, real_servers=(first, replace(second, method=ForwardingMethod.DR)))
    lvsd.shown = snapshot(cluster=replace(lvsd.shown.cluster, virtual_servers=(mixed,)))
    shown = lines(shoal(tmp_path, "servers"))
    assert shown[0].startswith("www  192.0.2.10:80/tcp  wlc nat ")
    assert [" ".join(line.split()[:2]) for line in shown[2:4]] == ["10.0.1.21:80 up", "10.0.1.22:80 dr"]


def test_connections_fit_80_columns(tmp_path: Path, lvsd: ShownLvsd) -> None:
    assert lines(shoal(tmp_path, "connections", "--limit", "20")) == [
        "proto client             virtual       real         state       expires",
        "tcp   198.51.100.7:40000 192.0.2.10:80 10.0.1.21:80 established   900 s",
        "1 shown of 1 held (limit 1,024)",
    ]
    assert lvsd.asked == ["connections limit=20"]


def test_what_persistence_remembers_is_shown(tmp_path: Path, lvsd: ShownLvsd) -> None:
    assert lines(shoal(tmp_path, "connections", "--templates")) == [
        "virtual server clients         real         connections expires",
        "www            198.51.100.0/24 10.0.1.21:80           1   300 s",
        "1 shown",
    ]
    assert lvsd.asked == ["templates limit=100"]


def test_a_drain_is_ordered_with_its_deadline(tmp_path: Path, lvsd: ShownLvsd) -> None:
    told = shoal(tmp_path, "drain", "www", "10.0.1.21:80", "--deadline", "5m", "--cut")
    assert lines(told) == ["10.0.1.21:80 of www drains; `shoal servers` shows what is left"]
    told = shoal(tmp_path, "drain", "www", "10.0.1.21:80", "--maintenance")
    assert lines(told) == ["10.0.1.21:80 of www is in maintenance; `shoal servers` shows what is left"]
    shoal(tmp_path, "drain", "www", "10.0.1.21:80")
    shoal(tmp_path, "drain", "www", "10.0.1.21:80", "--deadline", "none")
    assert lines(shoal(tmp_path, "undrain", "www", "10.0.1.21:80")) == [
        "10.0.1.21:80 of www gets new connections again"
    ]
    assert lvsd.asked == [
        "drain 10.0.1.21:80 drain deadline=300.0 cut=True",
        "drain 10.0.1.21:80 maintenance deadline=None cut=False",
        "drain 10.0.1.21:80 drain deadline=None cut=False",
        "drain 10.0.1.21:80 drain deadline=0.0 cut=False",
        "undrain 10.0.1.21:80",
    ]


def test_events_are_shown_with_their_causes(tmp_path: Path, lvsd: ShownLvsd) -> None:
    assert lines(shoal(tmp_path, "events")) == [
        "   41 01-15 07:58:30.000 router.active epoch=3: lb2 resigned",
        "   42 01-15 07:59:00.000 real_server.down virtual_server=www",
        "                         real_server=10.0.1.22:80: HTTP 503, expected 200-399",
    ]
    assert lvsd.asked == ["events after=None limit=50 wait=0"]


def test_events_can_be_read_from_an_entry_on(tmp_path: Path, lvsd: ShownLvsd) -> None:
    result = shoal(tmp_path, "events", "--after", "41", "--limit", "1", "--json")
    assert [each["seq"] for each in json.loads(result.output)["events"]] == [42]
    assert lvsd.asked == ["events after=41 limit=1 wait=0"]


def test_following_events_goes_on_where_it_stopped(
    tmp_path: Path, lvsd: ShownLvsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def events(*, after: int | None, limit: int, wait: float) -> object:
        if wait:
            raise UnavailableError(problem=f"asked after {after} for {wait:g} s", where="test", fix="")
        return await ShownLvsd.events(lvsd, after=after, limit=limit, wait=wait)

    monkeypatch.setattr(lvsd, "events", events)
    result = shoal(tmp_path, "events", "--follow", "--json")
    assert [json.loads(line)["seq"] for line in result.output.splitlines()] == [41, 42]
    assert isinstance(result.exception, UnavailableError)
    assert result.exception.problem == "asked after 42 for 30 s"


def test_a_failover_is_passed_on(tmp_path: Path, lvsd: ShownLvsd) -> None:
    assert lines(shoal(tmp_path, "failover", "--to", "lb2")) == [
        "handing over to lb2; `shoal events` shows how it goes"
    ]
    assert json.loads(shoal(tmp_path, "failover", "--json").output) == {"accepted": True}
    assert lvsd.asked == ["failover to='lb2'", "failover to=''"]


def test_a_refused_failover_is_an_error_of_its_class(tmp_path: Path, lvsd: ShownLvsd) -> None:
    result = shoal(tmp_path, "failover", "--to", "lb9")
    assert isinstance(result.exception, NotFoundError)
    assert str(result.exception) == "to: there is no router 'lb9'\n  fix: one of: lb1, lb2"


def test_a_reload_says_what_is_in_force(tmp_path: Path, lvsd: ShownLvsd) -> None:
    assert lines(shoal(tmp_path, "reload")) == ["serial 8, abababababab: in force"]


@pytest.mark.parametrize("command", ["status", "servers", "connections"])
def test_json_is_the_answer_of_the_api(tmp_path: Path, lvsd: ShownLvsd, command: str) -> None:
    told = json.loads(shoal(tmp_path, command, "--json").output)
    assert next(iter(told)) in ("router", "virtual_servers", "connections")


def test_where_nothing_runs_the_error_says_so(tmp_path: Path) -> None:
    result = shoal(tmp_path, "status")
    assert isinstance(result.exception, UnavailableError)
    assert result.exception.problem == "Shoal is not running here"
    assert result.exception.where == f"{tmp_path}/api.sock"


def test_a_right_file_is_summed_up(tmp_path: Path) -> None:
    file = tmp_path / "shoal.toml"
    file.write_text(ONE_ROUTER)
    result = CliRunner().invoke(cli.app, ["check", str(file)])
    digest = json.loads(CliRunner().invoke(cli.app, ["check", "--json", str(file)]).output)["digest"]
    assert lines(result) == [
        f"{file}: right",
        "  cluster          shoal",
        "  serial           7",
        f"  digest           {digest}",
        "  paths            public (eth0)",
        "  routers          this",
        "  addresses        192.0.2.10/32",
        "  virtual servers  www (wlc)",
        "  real servers     2",
    ]


def test_check_shows_scheduler_flags(tmp_path: Path) -> None:
    file = tmp_path / "shoal.toml"
    file.write_text(
        ONE_ROUTER.replace('name = "www"', 'name = "www"\nscheduler = "mh"\nscheduler_flags = ["mh-port"]')
    )
    assert "  virtual servers  www (mh mh-port)" in lines(CliRunner().invoke(cli.app, ["check", str(file)]))


def test_servers_show_scheduler_flags() -> None:
    (www,) = msgspec.to_builtins(servers(snapshot()))["virtual_servers"]
    head = render_servers({"virtual_servers": [www | {"scheduler_flags": ["mh-port"]}]}, now=NOW)[0]
    assert str(head) == "www  192.0.2.10:80/tcp  wlc mh-port nat  3 connections"


def test_a_wrong_file_raises_every_error_of_it(tmp_path: Path) -> None:
    file = tmp_path / "shoal.toml"
    file.write_text(ONE_ROUTER.replace('"10.0.1.22:80"', '"10.0.1.22:99999"').replace("serial", "seriall"))
    result = CliRunner().invoke(cli.app, ["check", str(file)])
    assert isinstance(result.exception, ConfigErrors)
    assert len(result.exception.errors) == 2


def run_main(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "shoal.cli", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
        check=False,
    )


def test_the_exit_status_is_that_of_the_error_and_programs_get_it_as_json(tmp_path: Path) -> None:
    done = run_main("status", "--run-dir", str(tmp_path), "--json")
    assert done.returncode == 69
    assert done.stderr.startswith(f"error: {tmp_path}/api.sock: Shoal is not running here\n  fix: ")
    assert json.loads(done.stdout)["error"] == {
        "problem": "Shoal is not running here",
        "where": f"{tmp_path}/api.sock",
        "fix": "start it with `shoal run`, or name the --run-dir that it was started with",
        "exit_code": 69,
    }


def test_a_wrong_option_ends_with_2_and_a_hint() -> None:
    done = run_main("status", "--verbos")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option: --verbos" in done.stderr


def test_help_fits_80_columns_and_names_every_command() -> None:
    done = run_main("--help")
    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    named = [line.split()[0] for line in done.stdout.partition("Commands:\n")[2].splitlines()]
    assert named == [
        "run",
        "check",
        "status",
        "servers",
        "connections",
        "events",
        "drain",
        "undrain",
        "failover",
        "reload",
        "lab",
        "version",
        "realserver",
    ]


@pytest.mark.parametrize(
    "command", ["run", "check", "status", "servers", "connections", "events", "failover"]
)
def test_the_help_of_a_command_has_an_example(command: str) -> None:
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert f"Example: shoal {command}" in result.output


def test_help_loads_no_module_that_is_slow_to_import() -> None:
    code = (
        "import sys\nfrom shoal.cli.main import app\n"
        "try:\n    app(['--help'], prog_name='shoal')\nexcept SystemExit:\n    pass\n"
        "slow = {'httpx', 'rich', 'asyncio', 'starlette', 'structlog', 'pyroute2', 'msgspec'}\n"
        "print('slow:', sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == "slow: []\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (9949, "9.9k"),
        (9950, "10k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
    ],
)
def test_counts_take_four_characters_at_most(count: int, text: str) -> None:
    from shoal.cli.render import short

    assert short(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (864e3, "10d")]
)
def test_ages_are_short(seconds: float, text: str) -> None:
    from shoal.cli.render import age

    assert age(NOW - seconds, now=NOW) == text


def test_an_age_that_is_not_known_is_a_dash() -> None:
    from shoal.cli.render import age

    assert age(0.0, now=NOW) == "-"
