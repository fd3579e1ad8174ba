"""The nanny as a process, in a network namespace: what lvsd hears, and what outlives a restart."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shoal import config
from shoal.ipc.messages import Hello
from shoal.system.places import Places
from support.fake_lvsd import FakeLvsd
from support.health_checks import PATIENCE, Conversation, is_alive, says, server, wait_until, waits
from support.namespaces import inside, run

OK = says(b"HTTP/1.1 200 OK\r\n\r\n")
NAMESPACE = f"sn-{os.getpid()}"
HOST = "10.99.0.1"  # of the namespace
SILENT = "10.99.0.2"
SLACK = 0.4
"""Seconds that a busy machine may take on top of what is promised."""


@pytest.fixture(scope="module", autouse=True)
def namespace() -> Iterator[None]:
    """Loopback, and a wire whose other end answers nothing: what nobody has there vanishes without a word."""
    run(f"ip netns add {NAMESPACE}")
    try:
        run(f"ip -n {NAMESPACE} link set lo up")
        run(f"ip -n {NAMESPACE} link add wire type veth peer name end")
        run(f"ip -n {NAMESPACE} address add {HOST}/24 dev wire")
        run(f"ip -n {NAMESPACE} link set wire up")
        run(f"ip -n {NAMESPACE} link set end up")
        yield
    finally:
        run(f"ip netns del {NAMESPACE}")


@pytest.fixture(autouse=True)
def _in_namespace(namespace: None) -> Iterator[None]:
    with inside(NAMESPACE):
        yield


def served(talk: Conversation, *, port: int = 0) -> AbstractContextManager[int]:
    """A real server in the namespace; its port."""
    return server(talk, address=HOST, port=port)


@dataclass
class Router:
    """The places and the configuration of one router."""

    places: Places
    file: Path

    def write(self, *endpoints: str, monitor: str = "", names: tuple[str, ...] = ("www",)) -> str:
        """Write the configuration; returns its digest."""
        text = '[paths.public]\ninterface = "eth0"\n'
        servers = ", ".join(f'"{endpoint}"' for endpoint in endpoints)
        for number, name in enumerate(names):
            text += f'[[virtual_servers]]\nname = "{name}"\nlisten = ["192.0.2.10:{80 + number}/tcp"]\n'
            text += f"real_servers = [{servers}]\n[virtual_servers.monitor]\n{monitor}\n"
        self.file.write_text(text)
        return config.load(self.file).digest.hex()

    def command(self) -> list[str]:
        """How the nanny is started."""
        arguments = ["--config", str(self.file), "--router", "lb1", *self.places.arguments()]
        return ["ip", "netns", "exec", NAMESPACE, sys.executable, "-m", "shoal.nanny", *arguments]

    @contextlib.contextmanager
    def nanny(self) -> Iterator[subprocess.Popen[str]]:
        """A running nanny, killed at the end if it still runs."""
        with subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def lvsd(self) -> Iterator[FakeLvsd]:
        """A listening lvsd."""
        self.places.run.mkdir(exist_ok=True)
        with contextlib.closing(FakeLvsd(self.places.ipc_socket)) as lvsd:
            yield lvsd


@pytest.fixture
def router(tmp_path: Path) -> Router:
    places = Places(run=tmp_path / "run", state=tmp_path / "state", pins=tmp_path / "pins")
    return Router(places, tmp_path / "config.toml")


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE)


def test_lvsd_hears_who_speaks_then_everything_then_every_change_with_its_cause(router: Router):
    with served(OK) as good, served(says(b"HTTP/1.1 503 No\r\n\r\n")) as bad:
        monitor = 'type = "http"\ninterval = 0.2'
        digest = router.write(f"{HOST}:{good}", f"{HOST}:{bad}", monitor=monitor)
        with router.lvsd() as lvsd, router.nanny() as process:
            lvsd.until(lambda: set(lvsd.health().values()) == {"up", "down"} and len(lvsd.records) == 2)
            assert lvsd.heard[0] == Hello("nanny", process.pid)
            assert {report.config_digest for report in lvsd.reports} == {digest}
            records = {record.event: record for record in lvsd.records}
            assert records["real_server.up"].cause == "HTTP 200"
            assert records["real_server.down"].cause == "HTTP 503, expected 200-399 (2 times)"
            assert records["real_server.down"].fields == {
                "virtual_server": "www",
                "real_server": f"{HOST}:{bad}",
                "endpoint": f"{HOST}:{bad}",
                "previous": "unknown",
                "changes_in_last_minute": 1,
            }
            assert abs(lvsd.reports[-1].targets[0].since - time.time()) < PATIENCE
            assert Path(f"/proc/{process.pid}/comm").read_text() == "shoal-nanny\n"
            assert stop(process) == 0


def test_a_server_whose_process_dies_is_out_within_the_interval_and_one_retry(router: Router):
    with contextlib.ExitStack() as life, router.lvsd() as lvsd:
        port = life.enter_context(served(waits))
        router.write(f"{HOST}:{port}")
        with router.nanny() as process:
            lvsd.until(lambda: list(lvsd.health().values()) == ["up"])
            life.close()
            died = time.monotonic()
            lvsd.until(lambda: list(lvsd.health().values()) == ["down"])
            assert time.monotonic() - died <= 1.2 + SLACK
            assert stop(process) == 0


def test_a_server_that_falls_silent_is_out_within_three_seconds(router: Router):
    run(f"ip -n {NAMESPACE} address add {SILENT}/32 dev lo")
    with server(waits, address=SILENT) as port, router.lvsd() as lvsd:
        router.write(f"{SILENT}:{port}")
        with router.nanny() as process:
            lvsd.until(lambda: list(lvsd.health().values()) == ["up"])
            run(f"ip -n {NAMESPACE} address del {SILENT}/32 dev lo")
            run(f"ip -n {NAMESPACE} neighbour replace {SILENT} lladdr 02:00:00:00:00:02 dev wire")
            silent = time.monotonic()
            lvsd.until(lambda: list(lvsd.health().values()) == ["down"])
            assert time.monotonic() - silent <= 2.5 + SLACK
            assert lvsd.reports[-1].targets[0].reason == "no connection within 1 s"
            assert stop(process) == 0


def test_lvsd_may_come_late_and_go_and_come_back(router: Router):
    with served(waits) as port:
        router.write(f"{HOST}:{port}")
        with router.nanny() as process:
            wait_until(router.places.health.exists)
            with router.lvsd() as lvsd:
                lvsd.until(lambda: list(lvsd.health().values()) == ["up"] and len(lvsd.records) == 1)
            with router.lvsd() as lvsd:
                lvsd.until(lambda: bool(lvsd.reports))
                assert isinstance(lvsd.heard[0], Hello)
                assert list(lvsd.health().values()) == ["up"]
                assert lvsd.records == []
            assert stop(process) == 0


def test_a_reload_asks_what_is_new_and_keeps_what_is_known(router: Router):
    with served(waits) as first, served(waits) as second, router.lvsd() as lvsd:
        router.write(f"{HOST}:{first}")
        with router.nanny() as process:
            lvsd.until(lambda: list(lvsd.health().values()) == ["up"])
            since = lvsd.reports[-1].targets[0].since
            digest = router.write(f"{HOST}:{first}", f"{HOST}:{second}")
            process.send_signal(signal.SIGHUP)
            lvsd.until(lambda: list(lvsd.health().values()) == ["up", "up"])
            assert lvsd.reports[-1].config_digest == digest
            assert lvsd.reports[-1].targets[0].since == pytest.approx(since, abs=0.005)
            assert [record.event for record in lvsd.records] == ["real_server.up"] * 2
            assert stop(process) == 0


def test_a_wrong_configuration_is_refused_and_the_old_one_goes_on(router: Router):
    with served(waits) as port, router.lvsd() as lvsd:
        digest = router.write(f"{HOST}:{port}", monitor="interval = 0.2")
        with router.nanny() as process:
            lvsd.until(lambda: list(lvsd.health().values()) == ["up"])
            router.file.write_text(router.file.read_text().replace("interval", "intervall"))
            process.send_signal(signal.SIGHUP)
            lvsd.until(lambda: any(record.event == "config.refused" for record in lvsd.records))
            refused = lvsd.records[-1]
            assert "intervall" in refused.cause
            assert refused.fields == {"file": str(router.file)}
            assert stop(process) == 0
            assert process.stderr is not None
            assert "configuration refused, the old one stays" in process.stderr.read()
            assert lvsd.reports[-1].config_digest == digest


def test_health_outlives_a_crash(router: Router):
    with served(OK) as good, served(says(b"HTTP/1.1 503 No\r\n\r\n")) as bad:
        router.write(f"{HOST}:{good}", f"{HOST}:{bad}", monitor='type = "http"')
        with router.nanny() as process:
            wait_until(lambda: _saved(router) == {"up", "down"})
            process.kill()
    with router.lvsd() as lvsd, router.nanny() as process:  # now none of them is there
        lvsd.until(lambda: bool(lvsd.reports))
        assert list(lvsd.health().values()) == ["up", "down"]
        assert [target.reason for target in lvsd.reports[0].targets] == [
            "HTTP 200",
            "HTTP 503, expected 200-399",
        ]
        lvsd.until(lambda: list(lvsd.health().values()) == ["down", "down"])
        assert [(record.event, record.cause) for record in lvsd.records] == [
            ("real_server.down", "connection refused (2 times)")
        ]
        assert stop(process) == 0


def _saved(router: Router) -> set[str]:
    try:
        found = json.loads(router.places.health.read_bytes())
    except FileNotFoundError:
        return set()
    return {target["health"] for target in found["targets"].values()}


def test_a_torn_file_of_health_is_said_and_ignored(router: Router):
    router.places.state.mkdir()
    router.places.health.write_text('{"version": 1, "targ')
    with served(waits) as port, router.lvsd() as lvsd:
        router.write(f"{HOST}:{port}")
        with router.nanny() as process:
            lvsd.until(lambda: list(lvsd.health().values()) == ["up"])
            assert stop(process) == 0
            assert process.stderr is not None
            assert "starting without last known health" in process.stderr.read()
    assert _saved(router) == {"up"}


def test_the_end_leaves_the_file_and_no_program_behind(router: Router, tmp_path: Path):
    child = tmp_path / "child"
    command = f'["sh", "-c", "echo $$ > {child}; exec sleep 60"]'
    router.write(f"{HOST}:80", monitor=f'type = "program"\ncommand = {command}\ntimeout = 50.0')
    with router.nanny() as process:
        wait_until(lambda: child.exists() and child.read_text() != "")
        assert stop(process) == 0
    wait_until(lambda: not is_alive(child))
    assert _saved(router) == set()
    assert router.places.health.exists()


def test_a_second_nanny_of_the_same_place_is_refused(router: Router):
    router.write(f"{HOST}:80")
    with router.lvsd() as lvsd, router.nanny() as process:
        lvsd.until(lambda: bool(lvsd.reports))
        second = subprocess.run(router.command(), capture_output=True, text=True, check=False)
        assert second.returncode == 69
        assert f"another nanny runs already (process {process.pid})" in second.stderr
        assert "fix: " in second.stderr
        assert stop(process) == 0


def test_a_first_configuration_that_is_wrong_ends_it_with_the_reason(router: Router):
    router.file.write_text("nonsense = 1\n")
    ended = subprocess.run(router.command(), capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert "nonsense" in ended.stderr
