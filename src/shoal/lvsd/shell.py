"""``lvsd``: the one owner of the desired state.

It reads the configuration, hears ``nanny`` and ``pulse``, keeps the dataplane as it should be, and keeps the
journal. Everything is level-triggered: whatever changes (health, configuration, the dataplane behind our
back), the same comparison of desired and actual state runs again. Its rules stand in ``reconcile``.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from shoal import config
from shoal.dataplane.base import Dataplane
from shoal.errors import ConfigError, NotFoundError, ShoalError, UnavailableError
from shoal.ipc.messages import (
    FailoverReply,
    FailoverRequest,
    HealthReport,
    Message,
    Record,
    RoleReport,
    TargetHealth,
)
from shoal.lvsd import view
from shoal.lvsd.alarms import Alarms
from shoal.lvsd.drain_file import DrainFile, Ordered
from shoal.lvsd.draining import next_change, wanted
from shoal.lvsd.enforcement import (
    enforce,
    flows_left,
    list_connections,
    list_templates,
    observe,
    opening_records,
    step_record,
)
from shoal.lvsd.journal import CAPACITY, Entry, Journal, entries_of, line, record_of
from shoal.lvsd.masquerading import rules
from shoal.lvsd.opening import OpenDataplane, Settings, base, sizes
from shoal.lvsd.orders import DrainOrder, DrainView, UndrainOrder
from shoal.lvsd.reconcile import Memory, TargetKey, health_by_target, known_health
from shoal.model import Cluster, Health
from shoal.system.nftables import OwnTable
from shoal.system.rendezvous import Rendezvous
from shoal.system.rotating_file import RotatingFile

RECONCILE_INTERVAL = 5.0
SWEEP_INTERVAL = 1.0
ANSWER_TIMEOUT = 5.0
CHILDREN = ("pulse", "nanny")

Result = TypeVar("Result")


class Lvsd:
    """The daemon, and what the control API shows of it. ``start``, then ``run`` until ``stop``."""

    def __init__(
        self,
        settings: Settings,
        *,
        open_dataplane: OpenDataplane,
        rules: OwnTable | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._open_dataplane = open_dataplane
        self._rules = rules
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dataplane")
        self._file = RotatingFile(settings.places.journal)
        self._drains = DrainFile(settings.places.drains)
        self._health: dict[TargetKey, TargetHealth] = {}
        self._known, self._memory = dict[TargetKey, Health](), Memory()
        self._role: RoleReport | None = None
        self._failovers: dict[int, asyncio.Future[FailoverReply]] = {}
        self._dirty = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._grown = asyncio.Event()
        self._stopped = asyncio.Event()
        self._remove = False
        self._refusal = ""
        self._alarms = Alarms()

    async def start(self) -> None:
        """Read the configuration, listen for the siblings and open the dataplane. Raises what they raise."""
        self._cluster = config.load(self._settings.config)
        restored = entries_of(self._file.tail(CAPACITY))
        self._journal = Journal(self._settings.router, restored=restored)
        self._echoed = self._journal.last
        self._rendezvous = Rendezvous(
            self._settings.places.ipc_socket, on_message=self._receive, on_change=lambda _child: self._echo()
        )
        self._note_loaded()
        self._dataplane = await self._open(self._cluster)
        self._note("lvsd.started", fields={"pid": os.getpid(), "dataplane": self._dataplane.name})

    async def run(self) -> None:
        """Reconcile, sweep and reload until stopped; then let go of the dataplane, or remove it."""
        async with asyncio.TaskGroup() as tasks:
            loops = (self._keep_reconciled, self._keep_swept, self._keep_loaded)
            running = [tasks.create_task(loop(), name=loop.__name__) for loop in loops]
            await self._stopped.wait()
            for task in running:
                task.cancel()
        await self._in_worker(self._dataplane.remove if self._remove else self._dataplane.close)
        if self._remove:
            await self._keep_rules(())
        self._rendezvous.close()
        self._file.close()
        self._worker.shutdown()

    def stop(self, *, remove: bool = False) -> None:
        """End ``run``. With ``remove`` the dataplane goes too; without, it goes on forwarding."""
        self._remove = remove
        self._stopped.set()
        self._grown.set()

    def request_reload(self) -> None:
        """Read the configuration again soon (SIGHUP)."""
        self._reload_wanted.set()

    async def status(self) -> view.StatusView:
        """This router at a glance."""
        return view.status(await self._snapshot())

    async def servers(self) -> view.ServersView:
        """Every virtual server with health and counters."""
        return view.servers(await self._snapshot())

    async def connections(self, *, limit: int) -> view.ConnectionsView:
        """Up to ``limit`` of the connections held."""
        return await self._in_worker(partial(list_connections, self._dataplane, limit=limit))

    async def templates(self, *, limit: int) -> view.TemplatesView:
        """Up to ``limit`` persistence templates."""
        return await self._in_worker(partial(list_templates, self._dataplane, limit=limit))

    async def events(self, *, after: int | None, limit: int, wait: float) -> view.EventsView:
        """Entries after ``after``, or the latest; waits up to ``wait`` seconds for the first new one."""
        if after is None:
            entries = self._journal.latest(limit)
        else:
            after = min(after, self._journal.last)
            entries = self._journal.after(after, limit=limit)
            if not entries and wait > 0 and not self._stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._grown.wait()
                entries = self._journal.after(after, limit=limit)
        return view.EventsView(events=entries, next=entries[-1].seq if entries else after or 0)

    async def failover(self, *, to: str) -> view.FailoverView:
        """Have ``pulse`` hand over to ``to``, or to any peer. Raises when it is refused, with the reason."""
        if to and self._cluster.router(to) is None:
            known = ", ".join(router.name for router in self._cluster.routers)
            raise NotFoundError(problem=f"there is no router {to!r}", where="to", fix=f"one of: {known}")
        number = self._note("failover.requested", cause="the operator asked for it", fields={"to": to}).seq
        answer = self._failovers[number] = asyncio.get_running_loop().create_future()
        try:
            if not self._rendezvous.send("pulse", FailoverRequest(id=number, to=to)):
                raise _silent("pulse is not connected")
            async with asyncio.timeout(ANSWER_TIMEOUT):
                reply = await answer
        except TimeoutError as error:
            raise _silent(f"pulse did not answer within {ANSWER_TIMEOUT:g} s") from error
        finally:
            del self._failovers[number]
        if not reply.accepted:
            raise UnavailableError(problem=reply.problem, where="failover", fix=reply.fix)
        return view.FailoverView(accepted=True)

    async def drain(self, order: DrainOrder) -> DrainView:
        """Let a real server drain from now on."""
        return self._carry_out(self._drains.drain(order, self._cluster, now=self._clock()))

    async def undrain(self, order: UndrainOrder) -> DrainView:
        """Let a real server have new connections again."""
        return self._carry_out(self._drains.undrain(order, self._cluster, now=self._clock()))

    def _carry_out(self, ordered: Ordered) -> DrainView:
        answer, record = ordered
        self._append(record)
        self._dirty.set()
        return answer

    async def reload(self) -> view.ReloadView:
        """Check the operator's file, put it in force and say what is. ConfigErrors: nothing was changed."""
        before, seen = self._cluster.digest, self._journal.last
        try:
            await asyncio.to_thread(config.load, self._settings.source)
        except ConfigError as error:
            self._note_refused(error)
            raise
        if not self._settings.supervisor:
            self.request_reload()
        elif os.getppid() == self._settings.supervisor:
            os.kill(self._settings.supervisor, signal.SIGHUP)
        else:
            raise _silent("the supervisor is gone")
        await self._reload_outcome(seen)
        digest = self._cluster.digest
        return view.ReloadView(serial=self._cluster.serial, digest=digest.hex(), changed=digest != before)

    async def _reload_outcome(self, seen: int) -> None:
        deadline = asyncio.get_running_loop().time() + ANSWER_TIMEOUT
        while (left := deadline - asyncio.get_running_loop().time()) > 0 and not self._stopped.is_set():
            news = await self.events(after=seen, limit=100, wait=left)
            for entry in news.events:
                if entry.source not in ("lvsd", "supervisor"):
                    continue  # nanny and pulse journal what they load, too
                if entry.event == "config.loaded":
                    return
                if entry.event == "config.refused":
                    raise ConfigError(problem=entry.cause)  # which says where, and how to put it right
            seen = news.next
        raise _silent(f"the reload was not done within {ANSWER_TIMEOUT:g} s")

    async def _keep_reconciled(self) -> None:
        while True:
            self._dirty.clear()
            cluster, now, drains = self._cluster, self._clock(), self._drains.current
            call = partial(enforce, self._dataplane, cluster=cluster, health=self._known, memory=self._memory)
            outcome = await self._in_worker(partial(call, drains=wanted(drains, now)))
            for step in outcome.done:
                self._append(step_record(step, at=self._clock()))
            self._note_failure("reconcile", "; ".join(str(error) for error in outcome.failures))
            await self._keep_rules(rules(cluster, router=self._settings.router))
            await self._follow_drains()
            due = next_change(drains, now)
            pause = RECONCILE_INTERVAL if due is None else min(due, RECONCILE_INTERVAL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._dirty.wait()

    async def _follow_drains(self) -> None:
        """Tell the journal of drains that are over, and of deadlines. What fails here fails in reconciling too."""
        if self._drains.current:
            with contextlib.suppress(ShoalError):
                names = {name for name, _ in self._drains.current}
                flows = await self._in_worker(partial(flows_left, self._dataplane, self._cluster, names))
                for record in self._drains.follow(flows, now=self._clock()):
                    self._append(record)

    async def _keep_rules(self, wanted: Sequence[dict[str, Any]]) -> None:
        """Masquerading as configured; no rule at all where none is."""
        if (table := self._rules) is None:
            return
        try:
            if await self._in_worker(lambda: table.keep(wanted)):
                self._note("masquerading.put" if wanted else "masquerading.removed")
        except ShoalError as error:
            self._note_failure("masquerading", str(error))
        else:
            self._note_failure("masquerading", "")

    async def _keep_swept(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                await self._in_worker(self._dataplane.sweep)
                self._note_overload(await self._in_worker(self._dataplane.overloaded))
            except ShoalError as error:
                self._note_failure("sweep", str(error))
            else:
                self._note_failure("sweep", "")

    async def _keep_loaded(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            try:
                cluster = await asyncio.to_thread(config.load, self._settings.config)
                if base(cluster) != base(self._cluster):
                    self._dataplane = await self._reopen(cluster)
            except ShoalError as error:
                self._note_refused(error)
                continue
            self._cluster = cluster
            self._note_loaded()
            self._dirty.set()

    async def _in_worker(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    async def _open(self, cluster: Cluster) -> Dataplane:
        settings = self._settings
        dataplane = await self._in_worker(
            lambda: self._open_dataplane(cluster, settings.router, settings.places)
        )
        observation = await self._in_worker(lambda: observe(dataplane))
        for record in opening_records(observation, at=self._clock()):
            self._append(record)
        return dataplane

    async def _reopen(self, cluster: Cluster) -> Dataplane:
        """The new one is opened first and adopts what is installed; if it is refused, the old one goes on."""
        for key, size in sizes(self._cluster).items():
            if sizes(cluster)[key] != size:
                raise ConfigError(
                    problem=f"the dataplane's tables cannot be resized from {size} while they are in use",
                    where=f"dataplane.{key}",
                    fix="leave it as it was, or stop Shoal and start it again (its connections are lost)",
                )
        old, new = self._dataplane, await self._open(cluster)
        if new is not old:
            await self._in_worker(old.close)
        return new

    async def _snapshot(self) -> view.Snapshot:
        observation = await self._in_worker(lambda: observe(self._dataplane))
        journal = self._file.trouble and f"journal: {self._file.trouble}"
        trouble = (*self._alarms.standing(), self._refusal, journal, self._drains.trouble)
        return view.Snapshot(
            cluster=self._cluster,
            router=self._settings.router,
            file=str(self._settings.source),
            role=self._role,
            children={child: self._rendezvous.connected(child) for child in CHILDREN},
            health=self._health,
            dataplane=self._dataplane.name,
            attachments=observation.attachments,
            installed=observation.installed,
            counters=observation.counters,
            drains=dict(self._drains.current),
            trouble=tuple(filter(None, trouble)),
        )

    def _receive(self, child: str, message: Message) -> None:
        match message:
            case HealthReport():
                self._health = health_by_target(message.targets)
                self._known = known_health(message.targets)
                self._dirty.set()
            case RoleReport():
                self._role = message
            case Record():
                if message.event == "config.refused" and child == "supervisor":
                    self._refusal = f"the last reload was refused: {message.cause}"
                self._append(message)
            case FailoverReply():
                if (answer := self._failovers.get(message.id)) is not None and not answer.done():
                    answer.set_result(message)

    def _note(
        self, event: str, *, cause: str = "", fields: dict[str, str | int | float | bool] | None = None
    ) -> Entry:
        record = Record(at=self._clock(), source="lvsd", event=event, cause=cause, fields=fields or {})
        return self._append(record)

    def _note_loaded(self) -> None:
        self._refusal = ""
        self._note(
            "config.loaded",
            fields={"serial": self._cluster.serial, "digest": self._cluster.digest.hex()[:16]},
        )

    def _note_refused(self, error: ShoalError) -> None:
        self._refusal = f"the last reload was refused: {error}"
        self._note("config.refused", cause=str(error))

    def _note_failure(self, during: str, failure: str) -> None:
        if self._alarms.failed(during, failure):
            self._note("dataplane.failed", cause=failure, fields={"during": during})

    def _note_overload(self, overloaded: bool) -> None:
        if change := self._alarms.overload(overloaded):
            self._note(change[0], cause=change[1])

    def _append(self, record: Record) -> Entry:
        """Into memory, into the file, to the supervisor's log, to who waits."""
        entry = self._journal.append(record)
        healthy = not self._file.trouble
        if not self._file.append(line(entry)) and healthy:
            self._note("journal.failed", cause=f"{self._file.trouble}; it goes on in memory")
        self._echo()
        self._grown.set()
        self._grown = asyncio.Event()
        return entry

    def _echo(self) -> None:
        """To the supervisor's log: what it has not had yet, except what came from there."""
        if not self._rendezvous.connected("supervisor"):
            return
        for entry in self._journal.after(self._echoed, limit=CAPACITY):
            self._echoed = entry.seq
            if entry.source != "supervisor":
                self._rendezvous.send("supervisor", record_of(entry))


def _silent(problem: str) -> UnavailableError:
    return UnavailableError(problem=problem, where="lvsd", fix="try again; see `shoal status` and the log")
