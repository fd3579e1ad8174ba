"""The supervisor: starts the children, starts again those that die, ends them in order. It never forwards.

It hears ``lvsd`` over the siblings' socket, where it also leaves its own lines for the journal. A reload goes
to ``lvsd`` first, since the dataplane is what may refuse it; then ``nanny`` and ``pulse`` read the new file.
"""

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shoal.errors import ConfigError, PeerError, ShoalError
from shoal.ipc.messages import Hello, Message, Record
from shoal.supervisor.children import ChildCommand, ChildTable, Service, child_table
from shoal.supervisor.log import Log
from shoal.supervisor.preflight import Checked, serves_ipv6
from shoal.supervisor.restarts import Restarts
from shoal.system import sysctl
from shoal.system.atomic import write_atomically
from shoal.system.channel import Channel
from shoal.system.child import ChildProcess, end_orphan
from shoal.system.service_notify import ServiceNotify

CONNECT_INTERVAL = 0.05  # s between attempts to reach lvsd
RELOAD_TIMEOUT = 5.0  # s that lvsd gets to accept a configuration
DELIBERATE = range(64, 80)  # exit codes of errors.py (sysexits.h): the child says itself why it cannot run
UNSENT_LIMIT = 1000


@dataclass(slots=True, kw_only=True)
class _Child:
    command: ChildCommand
    restarts: Restarts = field(default_factory=Restarts)
    process: ChildProcess | None = None
    due: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reload:
    """A configuration that ``lvsd`` has been given and has not accepted yet."""

    before: Checked
    deadline: float


class Supervisor:
    """Runs one service until a signal ends it. ``check`` reads and checks the operator's file."""

    def __init__(
        self,
        service: Service,
        *,
        check: Callable[[], Checked],
        checked: Checked,
        notify: ServiceNotify,
        table: ChildTable = child_table,
    ) -> None:
        self._service = service
        self._sysctls = service.places.run / "sysctl.json"
        self._check = check
        self._checked = checked
        self._log = Log()
        self._notify = notify
        self._children = {each.name: _Child(command=each) for each in table(service)}
        self._selector = selectors.DefaultSelector()
        self._channel: Channel | None = None
        self._connect_at = 0.0
        self._sign_of_life_at = 0.0
        self._unsent: deque[Record] = deque(maxlen=UNSENT_LIMIT)
        self._reload: _Reload | None = None
        self._reload_wanted = False
        self._ready = False
        self._stopping = False
        self._exit_code = 0

    def run(self) -> int:
        """Start everything, keep it running until SIGTERM or SIGINT, end it in order; the exit status."""
        wakeup = self._catch_signals()
        self._begin()
        for child in self._children.values():
            self._start(child)
        self._log.open()
        while not self._stopping:
            for key, _ in self._selector.select(self._wait()):
                key.data()
            self._run_timers()
        self._stop()
        wakeup.close()
        self._selector.close()
        return self._exit_code

    def _begin(self) -> None:
        try:
            self._put_in_force(self._checked)
        except ShoalError:
            sysctl.restore(self._sysctls)
            raise

    # -- signals -----------------------------------------------------------------------------------------

    def _catch_signals(self) -> socket.socket:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._signalled(reader))
        return reader

    def _signalled(self, reader: socket.socket) -> None:
        for number in reader.recv(64):
            if number == signal.SIGHUP:
                self._reload_wanted = True
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stopping = True

    # -- children ----------------------------------------------------------------------------------------

    def _start(self, child: _Child) -> None:
        name = child.command.name
        orphan = end_orphan(self._service.places.lock(name))
        if orphan is not None:
            self._note("child.died", cause="its supervisor had died: ended", child=name, pid=orphan)
        process = child.process = ChildProcess(child.command.argv)
        child.due = None
        child.restarts.started(now=time.monotonic())
        self._selector.register(process, selectors.EVENT_READ, lambda: self._ended(child))
        self._note("child.started", child=name, pid=process.pid)

    def _ended(self, child: _Child) -> None:
        assert child.process is not None
        status, pid = child.process.reap(), child.process.pid
        if status is None:
            return
        self._forget(child)
        self._note("child.died", cause=_exit_cause(status), child=child.command.name, pid=pid)
        if status in DELIBERATE and not self._ready:
            self._exit_code, self._stopping = status, True
        else:
            child.due = child.restarts.died(now=time.monotonic())

    def _forget(self, child: _Child) -> None:
        assert child.process is not None
        self._selector.unregister(child.process)
        child.process.close()
        child.process = None

    def _signal(self, name: str, number: signal.Signals) -> None:
        child = self._children.get(name)
        if child is not None and child.process is not None:
            child.process.signal(number)

    # -- time --------------------------------------------------------------------------------------------

    def _wait(self) -> float | None:
        """Seconds until the next timer."""
        deadlines = [child.due for child in self._children.values() if child.due is not None]
        if self._channel is None:
            deadlines.append(self._connect_at)
        if self._reload is not None:
            deadlines.append(self._reload.deadline)
        if self._notify.watchdog:
            deadlines.append(self._sign_of_life_at)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.due is not None and child.due <= now and not self._stopping:
                self._start(child)
        if self._channel is None and self._connect_at <= now:
            self._connect(now)
        if self._reload is not None and self._reload.deadline <= now:
            self._finish_reload()
        if self._reload_wanted and self._reload is None:
            self._begin_reload(now)
        if self._notify.watchdog and self._sign_of_life_at <= now:
            self._notify.tell("WATCHDOG=1")
            self._sign_of_life_at = now + self._notify.watchdog

    # -- lvsd --------------------------------------------------------------------------------------------

    def _connect(self, now: float) -> None:
        self._connect_at = now + CONNECT_INTERVAL
        self._channel = Channel.connect(self._service.places.ipc_socket)
        if self._channel is not None:
            self._channel.send(Hello(child="supervisor", pid=os.getpid()))
            self._selector.register(self._channel, selectors.EVENT_READ, self._hear)
            self._send_records()

    def _hear(self) -> None:
        assert self._channel is not None
        try:
            messages = self._channel.receive()
        except PeerError:
            messages = None
        if messages is None:
            self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None
            return
        for message in messages:
            self._heard(message)

    def _heard(self, message: Message) -> None:
        if not isinstance(message, Record):
            return
        self._log.write(message)
        from_lvsd = message.source == "lvsd"  # nanny and pulse journal what they load, too
        match message.event:
            case "lvsd.started" if not self._ready:
                self._ready = True
                self._notify.tell("READY=1")
            case "config.loaded" if from_lvsd and self._reload is not None:
                self._finish_reload()
            case "config.refused" if from_lvsd and self._reload is not None:
                self._checked, self._reload = self._reload.before, None
                self._put_in_force(self._checked)

    def _note(self, event: str, *, cause: str = "", **fields: str | int | float | bool) -> None:
        """A line for the log at once, and for the journal when ``lvsd`` is there."""
        record = Record(at=time.time(), source="supervisor", event=event, cause=cause, fields=fields)
        self._log.write(record)
        self._unsent.append(record)
        self._send_records()

    def _send_records(self) -> None:
        while self._channel is not None and self._unsent and self._channel.send(self._unsent[0]):
            self._unsent.popleft()

    # -- configuration -----------------------------------------------------------------------------------

    def _put_in_force(self, checked: Checked) -> None:
        cluster = checked.cluster
        interfaces = [path.interface for path in cluster.paths]
        sysctl.prepare_interfaces(interfaces, ipv6=serves_ipv6(cluster), memory=self._sysctls)
        if cluster.uses_fullnat:
            sysctl.reserve_ports(cluster.fullnat_ports, memory=self._sysctls)
        write_atomically(self._service.places.config, checked.text)

    def _begin_reload(self, now: float) -> None:
        self._reload_wanted = False
        try:
            checked = self._check()
            if checked.router != self._service.router:
                raise ConfigError(
                    problem=f"this router would be {checked.router!r}, and runs as {self._service.router!r}",
                    where="routers",
                    fix="restart Shoal to give it another name",
                )
            self._put_in_force(checked)
        except ShoalError as error:
            self._note("config.refused", cause=str(error))
            return
        self._reload = _Reload(before=self._checked, deadline=now + RELOAD_TIMEOUT)
        self._checked = checked
        self._signal("lvsd", signal.SIGHUP)

    def _finish_reload(self) -> None:
        self._reload = None
        for name in self._children:
            if name != "lvsd":
                self._signal(name, signal.SIGHUP)

    # -- the end -----------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """End the children in the reverse order of their start, and undo what was done to the host."""
        self._notify.tell("STOPPING=1")
        for child in reversed(self._children.values()):
            self._stop_child(child)
        sysctl.restore(self._sysctls)
        self._service.places.config.unlink(missing_ok=True)

    def _stop_child(self, child: _Child) -> None:
        command, status = child.command, None
        if child.process is not None:
            child.process.signal(command.stop_signal)
            status = child.process.wait(command.stop_timeout)
            if status is None:
                self._note("child.died", cause="did not end in time: killed", child=command.name)
                child.process.signal(signal.SIGKILL)
                child.process.wait(command.stop_timeout)
            self._forget(child)
        if status != 0 and command.clear and self._exit_code == 0:
            clearing = ChildProcess(command.clear)
            clearing.wait(command.stop_timeout)
            clearing.close()
        if self._channel is not None:
            self._hear()


def _exit_cause(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
