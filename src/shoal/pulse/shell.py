"""The pulse process: one poll loop that feeds the election and lets its commands be executed.

Nothing here decides anything about the election, and nothing here waits: not for ``lvsd``, not for a file. The
order within a pass is part of the machine's contract: what arrived is handed over before any timer.
"""

import math
import select
import threading
from collections.abc import Callable

from shoal.errors import ShoalError
from shoal.ipc.messages import FailoverRequest, RoleReport
from shoal.model import Cluster
from shoal.pulse import events
from shoal.pulse.election import Election
from shoal.pulse.options import Options
from shoal.pulse.ownership import LeaseOpener
from shoal.pulse.roles import role_report
from shoal.pulse.signals import Signals
from shoal.pulse.station import Station
from shoal.system.clock import boottime, unix_time
from shoal.system.rtnetlink import Subscription


class Pulse:
    """One router's pulse. ``load`` reads the configuration: once now, and in a thread for every SIGHUP."""

    def __init__(
        self, options: Options, *, load: Callable[[], Cluster], open_lease: LeaseOpener, signals: Signals
    ) -> None:
        self._load = load
        self._signals = signals
        self._subscription = Subscription()
        self._station = Station(options, load(), open_lease=open_lease)
        self._election = Election(self._station.topology.settings)
        self._loaded: list[Cluster | ShoalError] = []
        self._since = (0.0, unix_time())

    def run(self, notes: tuple[str, ...] = ()) -> None:
        """Serve until the election ends. ``notes`` are what the kernel refused at the start, for the journal."""
        station = self._station
        for note in notes:
            station.record("realtime.refused", note)
        station.ownership.check()
        station.open_ports()
        links, held = station.addresses.link_states(), station.addresses.held()
        self._give(events.Start(holding=held, links=links, dataplane_ready=station.ownership.ready))
        service_at: float | None = None
        while not self._election.ended:
            times = [time for time in (self._election.deadline, service_at) if time is not None]
            due = max(min(times, default=boottime() + 1.0), boottime())
            self._poll(due)
            self._pass(due)
            service_at = station.liaison.service(self._report(), now=boottime())
        station.liaison.close(self._report(), now=boottime())
        station.close()
        self._subscription.close()

    def _poll(self, until: float) -> None:
        """Wait for something to read. The set is small, and made anew because descriptors come and go."""
        poll = select.poll()
        for _, sock in self._station.ports.sockets():
            poll.register(sock, select.POLLIN)
        poll.register(self._subscription, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        channel = self._station.liaison.fileno()
        if channel is not None:
            poll.register(channel, select.POLLIN)
        poll.poll(max(0, math.ceil((until - boottime()) * 1000)))

    def _pass(self, due: float) -> None:
        gap = boottime() - due
        if gap >= self._election.settings.heartbeat_interval:
            cause = f"it did not run for {gap:.3f} s: the machine was busy or paused"
            self._station.record("pulse.late", cause, seconds=round(gap, 3))
        if gap >= self._election.settings.dead_time:
            self._give(events.Woke(gap=gap))
        drained = self._receive_heartbeats()
        self._receive_changes()
        self._receive_requests()
        self._check_dataplane()
        deadline = self._election.deadline
        # A flood that never lets the sockets run dry must not stop the timers for ever.
        patience = 0.0 if drained else self._election.settings.heartbeat_interval
        if deadline is not None and boottime() >= deadline + patience:
            self._give(events.DeadlineReached())

    def _give(self, event: events.Event) -> None:
        if not self._election.ended:
            for command in self._election.handle(event, now=boottime()):
                self._station.execute(command)

    def _receive_heartbeats(self) -> bool:
        """Hand over every datagram that is there; whether the sockets are empty now."""
        drained = True
        for path, _ in list(self._station.ports.sockets()):
            datagrams, empty = self._station.ports.receive(path)
            drained = drained and empty
            for datagram, address in datagrams:
                believed = self._station.believe(datagram, path=path, address=address)
                if believed is None:
                    continue
                peer, received = believed
                if received.live:
                    self._give(events.HeartbeatReceived(heartbeat=received.heartbeat))
                if received.answer:
                    self._give(events.AnswerDue(peer=peer, path=path))
        return drained

    def _receive_changes(self) -> None:
        links, removed = self._subscription.receive()
        if links:
            self._station.addresses.refresh_links()
            self._station.open_ports()
            self._give_links()
        if removed and self._election.holding:
            repaired = self._station.acquire("they had been removed by somebody else")
            if repaired:
                self._give(events.AddressesRepaired(addresses=repaired))

    def _give_links(self) -> None:
        for path, up in self._station.addresses.link_states():
            self._give(events.LinkChanged(path=path, up=up))

    def _receive_requests(self) -> None:
        for message in self._station.liaison.receive():
            if isinstance(message, FailoverRequest):
                self._give(events.FailoverRequested(id=message.id, to=message.to))
        stop, reload = self._signals.take()
        if stop:
            self._give(events.StopRequested())
        if reload:
            threading.Thread(target=self._load_again, name="reload", daemon=True).start()
        while self._loaded:
            self._reconfigure(self._loaded.pop(0))

    def _load_again(self) -> None:
        """Runs in a thread: reading a large file must not delay a heartbeat."""
        try:
            self._loaded.append(self._load())
        except ShoalError as error:
            self._loaded.append(error)
        self._signals.wake()

    def _reconfigure(self, loaded: Cluster | ShoalError) -> None:
        try:
            if isinstance(loaded, ShoalError):
                raise loaded
            self._station.reconfigure(loaded)
        except ShoalError as error:
            self._station.record("config.refused", str(error))
            return
        self._give(events.Reconfigured(settings=self._station.topology.settings))
        self._give_links()

    def _check_dataplane(self) -> None:
        ownership = self._station.ownership
        was_ready = ownership.ready
        ownership.check()
        if ownership.ready != was_ready:
            self._give(events.DataplaneChanged(ready=ownership.ready))

    def _report(self) -> RoleReport:
        if self._since[0] != self._election.since:
            self._since = self._election.since, unix_time() - (boottime() - self._election.since)
        return role_report(
            self._election,
            since=self._since[1],
            addresses=self._station.addresses.names if self._election.holding else (),
            rejected=self._station.exchange.rejected,
        )
