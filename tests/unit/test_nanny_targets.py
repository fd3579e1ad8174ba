"""Targets on an engine: what is asked of whom, and what a reload leaves alone."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

import pytest

from shoal import config
from shoal.ipc.messages import TargetHealth
from shoal.model import Cluster, Health
from shoal.nanny.engine import Engine
from shoal.nanny.machine import ChangeHealth, Remembered
from shoal.nanny.memory import LastKnown
from shoal.nanny.targets import Listeners, Target, Targets
from support.health_checks import closed_port, says, server, turn_until, waits

LOOPBACK = IPv4Address("127.0.0.1")


@dataclass
class Heard:
    """What the targets told."""

    changes: list[tuple[str, ChangeHealth]] = field(default_factory=list)
    explained: int = 0
    void: list[str] = field(default_factory=list)

    def listeners(self) -> Listeners:
        return Listeners(changed=self._changed, explained=self._explained, void=self.void.append)

    def _changed(self, target: Target, change: ChangeHealth, now: float) -> None:
        self.changes.append((target.askers[0].endpoint, change))

    def _explained(self) -> None:
        self.explained += 1


def cluster(*ports: int, monitor: str = "interval = 0.1", names: tuple[str, ...] = ("www",)) -> Cluster:
    text = '[paths.public]\ninterface = "eth0"\n'
    servers = ", ".join(f'"10.0.1.21:{port}"' for port in ports)
    for number, name in enumerate(names):
        text += f'[[virtual_servers]]\nname = "{name}"\nlisten = ["192.0.2.10:{80 + number}/tcp"]\n'
        text += f"real_servers = [{servers}]\n[virtual_servers.monitor]\n{monitor}\n"
    return on_loopback(config.parse(text, source="test"))


def on_loopback(parsed: Cluster) -> Cluster:
    """With real servers that a test can be; a configuration cannot name them by nat."""
    return replace(
        parsed,
        virtual_servers=tuple(
            replace(
                virtual,
                real_servers=tuple(
                    replace(each, address=LOOPBACK, name=f"{LOOPBACK}:{each.port}")
                    for each in virtual.real_servers
                ),
            )
            for virtual in parsed.virtual_servers
        ),
    )


@pytest.fixture
def engine() -> Iterator[Engine]:
    with contextlib.closing(Engine()) as engine:
        yield engine


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def targets(engine: Engine, heard: Heard) -> Targets:
    return Targets(engine, tell=heard.listeners())


def health(targets: Targets) -> list[str]:
    return [target.health for target in targets.report(unix_offset=0).targets]


def test_before_the_first_probe_everything_is_unknown(targets: Targets, engine: Engine):
    targets.load(cluster(80, 81), remembered={})
    now = round(engine.now(), 1)
    report = targets.report(unix_offset=1000.0)
    assert [
        (target.real_server, target.health, target.reason, round(target.since, 1) - 1000)
        for target in report.targets
    ] == [
        ("127.0.0.1:80", "unknown", "not probed yet", pytest.approx(now, abs=0.2)),
        ("127.0.0.1:81", "unknown", "not probed yet", pytest.approx(now, abs=0.2)),
    ]


def test_a_report_names_the_configuration_it_was_made_from(targets: Targets):
    loaded = cluster(80)
    targets.load(loaded, remembered={})
    assert targets.report(unix_offset=0).config_digest == loaded.digest.hex()


def test_one_server_up_and_one_down(targets: Targets, engine: Engine, heard: Heard):
    dead = closed_port()
    with server(waits) as port:
        targets.load(cluster(port, dead), remembered={})
        turn_until(engine, lambda: len(heard.changes) == 2)
    assert dict(heard.changes) == {
        f"127.0.0.1:{port}": ChangeHealth(Health.UNKNOWN, Health.UP, "connected", 1, 1),
        f"127.0.0.1:{dead}": ChangeHealth(Health.UNKNOWN, Health.DOWN, "connection refused", 2, 1),
    }


def test_a_server_of_two_virtual_servers_is_asked_once_and_reported_twice(
    targets: Targets, engine: Engine, heard: Heard
):
    with server(waits) as port:
        targets.load(cluster(port, names=("www", "api")), remembered={})
        assert len(targets) == 1
        turn_until(engine, lambda: bool(heard.changes))
    reported = targets.report(unix_offset=0).targets
    assert [(target.virtual_server, target.health) for target in reported] == [("www", "up"), ("api", "up")]


def test_a_server_that_dies_is_noticed_and_one_that_returns_too(
    targets: Targets, engine: Engine, heard: Heard
):
    with server(waits) as port:
        targets.load(cluster(port), remembered={})
        turn_until(engine, lambda: health(targets) == ["up"])
    turn_until(engine, lambda: health(targets) == ["down"])
    with server(waits, port=port):
        turn_until(engine, lambda: health(targets) == ["up"])
    assert [(change.health, change.reason, change.answers, change.flaps) for _, change in heard.changes] == [
        (Health.UP, "connected", 1, 1),
        (Health.DOWN, "connection refused", 2, 2),
        (Health.UP, "connected", 2, 3),
    ]


def test_remembered_health_is_reported_before_anything_is_asked(targets: Targets):
    loaded = cluster(80)
    remembered = {"127.0.0.1:80/tcp tcp": Remembered(Health.DOWN, "HTTP 503", -100.0)}
    targets.load(loaded, remembered=remembered)
    assert targets.report(unix_offset=1000.0).targets == (
        TargetHealth("www", "127.0.0.1:80", "down", "HTTP 503", 900.0),
    )


def test_what_is_known_can_be_remembered_and_what_is_unknown_is_not(targets: Targets):
    remembered = {"127.0.0.1:80/tcp tcp": Remembered(Health.UP, "connected", -100.0)}
    targets.load(cluster(80, 81), remembered=remembered)
    assert targets.last_known(unix_offset=1000.0) == {
        "127.0.0.1:80/tcp tcp": LastKnown("up", "connected", 900.0)
    }


def test_a_reload_leaves_unchanged_targets_alone(targets: Targets, engine: Engine, heard: Heard):
    with server(waits) as port:
        targets.load(cluster(port), remembered={})
        turn_until(engine, lambda: health(targets) == ["up"])
        targets.load(cluster(port, closed_port(), names=("web",)), remembered={})
        assert health(targets) == ["up", "unknown"]
        turn_until(engine, lambda: health(targets) == ["up", "down"])
    assert [endpoint for endpoint, _ in heard.changes].count(f"127.0.0.1:{port}") == 1


def test_a_reload_that_changes_only_the_rhythm_keeps_health(targets: Targets, engine: Engine):
    with server(waits) as port:
        targets.load(cluster(port), remembered={})
        turn_until(engine, lambda: health(targets) == ["up"])
    targets.load(cluster(port, monitor="interval = 0.3"), remembered={})
    assert health(targets) == ["up"]


def test_a_reload_that_changes_the_probe_forgets_health(targets: Targets, engine: Engine):
    with server(says(b"")) as port:
        targets.load(cluster(port), remembered={})
        turn_until(engine, lambda: health(targets) == ["up"])
        targets.load(cluster(port, monitor='type = "http"\ninterval = 0.1'), remembered={})
        assert health(targets) == ["unknown"]
        turn_until(engine, lambda: health(targets) == ["down"])


def test_a_target_that_is_gone_is_asked_no_more(targets: Targets, engine: Engine, heard: Heard):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monitor = 'type = "http"\ninterval = 0.1\ntimeout = 0.3\nfall = 1'
        targets.load(cluster(silent.getsockname()[1], monitor=monitor), remembered={})
        turn_until(engine, lambda: engine.in_flight == 1)
        other = closed_port()
        targets.load(cluster(other), remembered={})
        assert engine.in_flight == 0
        turn_until(engine, lambda: bool(heard.changes))
        began = engine.ended
        turn_until(engine, lambda: engine.ended >= began + 5)
    assert {endpoint for endpoint, _ in heard.changes} == {f"127.0.0.1:{other}"}


def test_a_new_reason_of_a_dead_server_is_told_without_a_change(
    targets: Targets, engine: Engine, heard: Heard
):
    with server(says(b"HTTP/1.1 500 No\r\n\r\n")) as port:
        targets.load(cluster(port, monitor='type = "http"\ninterval = 0.1'), remembered={})
        turn_until(engine, lambda: bool(heard.changes))
    turn_until(engine, lambda: heard.explained > 0)
    assert targets.report(unix_offset=0).targets[0].reason == "connection refused"
    assert len(heard.changes) == 1
