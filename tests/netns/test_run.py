"""A supervised router in a network namespace: the real supervisor and lvsd, the fake dataplane."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.system.places import Places
from shoal.system.process import lock_holder
from support.clusters import ONE_ROUTER

DEADLINE = 20.0
CHILDREN = ("lvsd", "nanny", "pulse")
TESTS = Path(__file__).parent.parent


class ApiConnection(http.client.HTTPConnection):
    """HTTP on the API's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("shoal", timeout=DEADLINE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self.path))


class SupervisedRouter:
    """The processes of one router, and the doors to them."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.places = Places(run=folder / "run", state=folder / "state")
        self.file = folder / "shoal.toml"
        self.file.write_text(ONE_ROUTER)
        self.namespace = namespace
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *lvsd: str) -> "subprocess.Popen[str]":
        """Start a supervisor in the namespace."""
        command = [sys.executable, "-m", "support.supervised"]
        command += [str(self.file), str(self.places.run), str(self.places.state), *lvsd]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path[1:]]),
            "NOTIFY_SOCKET": str(self.file.with_name("notify")),
        }
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", *command],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        self.started.append(process)
        return process

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """One request to the API."""
        connection = ApiConnection(self.places.api_socket)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def serves(self) -> bool:
        """Every real server is up, and every child is there."""
        try:
            _, status = self.ask("GET", "/v1/status")
            _, servers = self.ask("GET", "/v1/servers")
        except (OSError, http.client.HTTPException):
            return False
        (www,) = servers["virtual_servers"]
        healths = {each["health"] for each in www["real_servers"]}
        return www["installed"] and healths == {"up"} and all(status["children"].values())

    def pids(self) -> dict[str, int | None]:
        """Who holds the children's locks."""
        return {child: lock_holder(self.places.lock(child)) for child in CHILDREN}

    def journal(self) -> list[dict[str, Any]]:
        """The journal's file."""
        return [json.loads(line) for line in self.places.journal.read_bytes().splitlines()]

    def journalled(self, event: str) -> int:
        """How many entries of that name there are."""
        return sum(entry["event"] == event for entry in self.journal())

    def signals(self) -> list[str]:
        """What the stand-ins were sent, in order."""
        file = self.places.run / "signals"
        return file.read_text().splitlines() if file.exists() else []

    def sysctl(self, name: str) -> str:
        """A sysctl of the namespace."""
        command = ["nsenter", f"--net=/run/netns/{self.namespace}", "cat", f"/proc/sys/{name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def end(self) -> None:
        """Kill everything that is left."""
        for process in self.started:
            process.kill()
            process.wait()
        for pid in self.pids().values():
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            assert process.stderr is not None
            process.stderr.close()
        self.notify.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait for it, a while at most."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def router(tmp_path: Path) -> Iterator[SupervisedRouter]:
    name = f"sl-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    supervised = None
    try:
        link = ["ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "far0"]
        subprocess.run(link, check=True)
        supervised = SupervisedRouter(tmp_path, name)
        yield supervised
    finally:
        if supervised is not None:
            supervised.end()
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def serving(router: SupervisedRouter) -> SupervisedRouter:
    router.start()
    until(router.serves)
    return router


def test_a_router_serves_tells_systemd_and_leaves_nothing_at_a_clean_stop(
    serving: SupervisedRouter,
) -> None:
    assert serving.notify.recv(64, socket.MSG_DONTWAIT) == b"READY=1"
    assert stat.S_IMODE(serving.places.api_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(serving.places.config.stat().st_mode) == 0o600
    assert serving.sysctl("net/ipv4/conf/eth0/forwarding") == "1"
    assert serving.sysctl("net/ipv4/conf/far0/forwarding") == "0"
    supervisor = serving.started[0]
    supervisor.send_signal(signal.SIGTERM)
    _, log = supervisor.communicate(timeout=DEADLINE)
    assert supervisor.returncode == 0, log
    assert serving.signals() == ["pulse SIGTERM", "nanny SIGTERM"]
    assert serving.pids() == {"lvsd": None, "nanny": None, "pulse": None}
    assert serving.sysctl("net/ipv4/conf/eth0/forwarding") == "0"
    assert serving.notify.recv(64, socket.MSG_DONTWAIT) == b"STOPPING=1"
    left = {each.name for each in serving.places.run.iterdir() if each.suffix != ".lock"}
    assert left == {"signals"}
    logged = [json.loads(line)["event"] for line in log.splitlines()]
    assert "lvsd.started" in logged
    assert logged.count("child.started") == 3


def test_a_killed_lvsd_is_back_and_reconciled_while_the_others_go_on(serving: SupervisedRouter) -> None:
    before = serving.pids()
    assert before["lvsd"] is not None
    os.kill(before["lvsd"], signal.SIGKILL)
    until(lambda: serving.pids()["lvsd"] not in (None, before["lvsd"]))
    until(serving.serves)
    after = serving.pids()
    assert (after["nanny"], after["pulse"]) == (before["nanny"], before["pulse"])
    until(lambda: serving.journalled("child.died") == 1)
    (died,) = [entry for entry in serving.journal() if entry["event"] == "child.died"]
    assert (died["source"], died["cause"], died["fields"]["child"]) == (
        "supervisor",
        "killed by SIGKILL",
        "lvsd",
    )


def test_a_wrong_file_keeps_everything_and_a_right_one_reaches_every_child(
    serving: SupervisedRouter,
) -> None:
    before = serving.pids()
    serving.file.write_text(ONE_ROUTER.replace("eth0", "eth9"))
    serving.started[0].send_signal(signal.SIGHUP)
    until(lambda: serving.journalled("config.refused") == 1)
    (refused,) = [entry for entry in serving.journal() if entry["event"] == "config.refused"]
    assert "interface 'eth9' does not exist on this host" in refused["cause"]
    assert "eth0" in serving.places.config.read_text()
    assert serving.signals() == []
    serving.file.write_text(ONE_ROUTER.replace("serial = 7", "serial = 8").replace("10.0.1.22", "10.0.1.23"))
    status, answer = serving.ask("POST", "/v1/reload")
    assert (status, answer["serial"], answer["changed"]) == (200, 8, True)
    until(lambda: sorted(serving.signals()) == ["nanny SIGHUP", "pulse SIGHUP"])
    assert serving.pids() == before
    serving.file.write_text("nonsense")
    status, answer = serving.ask("POST", "/v1/reload")
    assert (status, len(answer["errors"])) == (422, 1)
    assert serving.ask("GET", "/v1/status")[1]["config"]["serial"] == 8


def test_a_second_router_in_the_same_place_is_refused(serving: SupervisedRouter) -> None:
    second = serving.start()
    _, log = second.communicate(timeout=DEADLINE)
    assert second.returncode == 69
    assert "another Shoal runs already (process " in log
    assert "\n  fix: stop that one first" in log
    assert serving.serves()


def test_children_of_a_killed_supervisor_are_replaced_by_the_next_one(serving: SupervisedRouter) -> None:
    before = serving.pids()
    os.kill(lock_holder(serving.places.lock("supervisor")) or 0, signal.SIGKILL)
    serving.started[0].wait(DEADLINE)
    assert serving.pids() == before
    serving.start()
    until(lambda: all(serving.pids()[child] not in (None, before[child]) for child in CHILDREN))
    until(serving.serves)
    assert serving.sysctl("net/ipv4/conf/eth0/forwarding") == "1"
    serving.started[1].send_signal(signal.SIGTERM)
    assert serving.started[1].wait(DEADLINE) == 0
    assert serving.sysctl("net/ipv4/conf/eth0/forwarding") == "0"


def test_an_interface_that_does_not_exist_stops_everything_before_it_starts(
    router: SupervisedRouter,
) -> None:
    router.file.write_text(ONE_ROUTER.replace("eth0", "eth9"))
    process = router.start()
    _, log = process.communicate(timeout=DEADLINE)
    assert process.returncode == 78
    assert "paths.public.interface: interface 'eth9' does not exist on this host" in log
    assert "fix: one of: " in log
    assert not router.places.run.exists()


def test_a_child_that_says_it_cannot_run_ends_the_start_with_its_status(router: SupervisedRouter) -> None:
    process = router.start(sys.executable, "-c", "raise SystemExit(77)")
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 77
    assert router.pids() == {"lvsd": None, "nanny": None, "pulse": None}
    assert router.sysctl("net/ipv4/conf/eth0/forwarding") == "0"
