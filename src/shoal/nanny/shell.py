"""The nanny as a process: configuration in, probes out, health and its reasons to ``lvsd`` and to a file."""

import argparse
import gc
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoal import config
from shoal.errors import ConfigError, ShoalError
from shoal.ipc.messages import HealthReport, Record
from shoal.model import Health
from shoal.nanny.engine import Engine
from shoal.nanny.keeper import Keeper, unix_offset
from shoal.nanny.machine import ChangeHealth
from shoal.nanny.targets import Listeners, Target, Targets
from shoal.nanny.uplink import Uplink
from shoal.system.places import Places
from shoal.system.process import ProcessLock, set_process_name

COMPLAINT_INTERVAL = 60.0

_EVENTS = {Health.UP: "real_server.up", Health.DOWN: "real_server.down"}


class Nanny:
    """One process's worth. ConfigErrors when the first configuration is wrong."""

    def __init__(self, *, config_file: Path, places: Places) -> None:
        cluster = config.load(config_file)
        self._config_file = config_file
        self._engine = Engine()
        self._complaints: dict[str, float] = {}
        self._targets = Targets(
            self._engine, tell=Listeners(changed=self._changed, explained=self._explained, void=self._void)
        )
        self._keeper = Keeper(self._engine, places.health, targets=self._targets, complain=self._complain)
        self._stopping = False
        self._targets.load(cluster, remembered=self._keeper.restore())
        self._uplink = Uplink(self._engine, places.ipc_socket, report=self._report)

    def run(self) -> None:
        """Ask until SIGTERM (or SIGINT); SIGHUP reads the configuration again."""
        signals, wakeup = socket.socketpair()
        with signals, wakeup:
            signals.setblocking(False)
            wakeup.setblocking(False)
            signal.set_wakeup_fd(wakeup.fileno())
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, _nothing)
            self._engine.watch(
                signals.fileno(), events=select.EPOLLIN, ready=lambda _: self._signalled(signals.recv(64))
            )
            _freeze()
            while not self._stopping:
                self._engine.turn()
            signal.set_wakeup_fd(-1)
            self._keeper.save()
            self._uplink.close()
            self._engine.close()

    def reload(self) -> None:
        """Ask what the file says now; when it is wrong, go on as before and say so."""
        try:
            cluster = config.load(self._config_file)
        except ConfigError as error:
            self._record("config.refused", cause=str(error), fields={"file": str(self._config_file)})
            self._complain(f"configuration refused, the old one stays:\n{error}", every=0)
            return
        self._targets.load(cluster, remembered={})
        self._uplink.want_report()
        self._keeper.want_save()
        _freeze()

    def _signalled(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stopping = True
        elif signal.SIGHUP in numbers:
            self.reload()

    def _changed(self, target: Target, change: ChangeHealth, now: float) -> None:
        times = f" ({change.answers} times)" if change.answers > 1 else ""
        for asker in target.askers:
            fields: dict[str, str | int | float | bool] = {
                "virtual_server": asker.virtual_server,
                "real_server": asker.real_server,
                "endpoint": asker.endpoint,
                "previous": str(change.previous),
                "changes_in_last_minute": change.flaps,
            }
            self._record(_EVENTS[change.health], cause=change.reason + times, fields=fields)
        self._uplink.want_report()
        self._keeper.want_save()

    def _explained(self) -> None:
        self._uplink.want_report(reasons_only=True)

    def _void(self, reason: str) -> None:
        self._complain(f"some probes could not be made, health stays as it is: {reason}")

    def _record(self, event: str, *, cause: str, fields: Mapping[str, str | int | float | bool]) -> None:
        self._uplink.record(
            Record(at=time.time(), source="nanny", event=event, cause=cause, fields=dict(fields))
        )

    def _report(self) -> HealthReport:
        return self._targets.report(unix_offset=unix_offset(self._engine))

    def _complain(self, text: str, *, every: float = COMPLAINT_INTERVAL) -> None:
        """Say it on standard error, the same not again within ``every`` seconds."""
        now = self._engine.now()
        if now - self._complaints.get(text, -every) >= every:
            self._complaints[text] = now
            print(f"shoal-nanny: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m shoal.nanny``; returns the exit status."""
    given = _parser().parse_args(arguments)
    places = Places(run=given.run_dir, state=given.state_dir, pins=given.bpf_dir)
    set_process_name("shoal-nanny")
    try:
        lock = ProcessLock.acquire(places.lock("nanny"), what="nanny")
        _allow_many_descriptors()
        Nanny(config_file=given.config, places=places).run()
        lock.release()
    except ShoalError as error:
        print(f"shoal-nanny: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Places()
    parser = argparse.ArgumentParser(prog="shoal-nanny", description="Checks the real servers of a router.")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the cluster's configuration"
    )
    parser.add_argument("--router", default="this", metavar="NAME", help="this router's name")
    parser.add_argument("--run-dir", type=Path, default=default.run, metavar="DIR")
    parser.add_argument("--state-dir", type=Path, default=default.state, metavar="DIR")
    parser.add_argument("--bpf-dir", type=Path, default=default.pins, metavar="DIR")
    return parser


def _allow_many_descriptors() -> None:
    """Every probe under way needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _freeze() -> None:
    """Keep the collector from walking over the targets again and again: they stay."""
    gc.collect()
    gc.freeze()


def _nothing(number: int, frame: object) -> None:
    """The wake-up descriptor says it all."""
