"""Who serves: the pure election machine of one router.

    init ──► backup ◄──► active          init: listens before it speaks up
      ▲ └──────────────────▲ │           fault: cannot serve; leaves it by listening again
      └──── fault ◄── (any) ─┘

The rules, and why they are so: ``docs/protocol/heartbeat.md``. The caller promises: ``now`` is CLOCK_BOOTTIME
in seconds and never falls; ``DeadlineReached`` comes only after every socket was drained; commands are
executed in order; ``Woke`` comes before what was received during the sleep.
"""

from shoal.errors import InternalError
from shoal.model import RouterState
from shoal.pulse import ballot, events
from shoal.pulse.events import Command, Event, Settings
from shoal.pulse.links import TrackedLinks
from shoal.pulse.nouns import Flag, Report
from shoal.pulse.peers import Peer
from shoal.pulse.standing import Standing

INIT, BACKUP, ACTIVE, FAULT = RouterState.INIT, RouterState.BACKUP, RouterState.ACTIVE, RouterState.FAULT

HANDOVER_LIMIT = 0.5  # seconds in which a successor must claim before a router that stops lets go regardless


class Election(Standing):
    """One router's view of the election. ``epoch`` counts owners: who has the higher one is right."""

    # What the shell reads

    @property
    def deadline(self) -> float | None:
        """When ``DeadlineReached`` is due; None before the start and after the end."""
        if not self._started or self.ended:
            return None
        times = [
            self._voice.next_tick if self._quiet_until is None else self._quiet_until,
            self.peers.deadline(self.settings.dead_time),
            self.links.deadline,
            self._heir_until,
            self._announcements.deadline if self._quiet_until is None else None,
            self._revisit,
        ]
        return min(time for time in times if time is not None)

    def handle(self, event: Event, *, now: float) -> tuple[Command, ...]:
        """Take an event in; what is to be done, in order. InternalError and no change when it is illegal."""
        if isinstance(event, events.Start) is self._started:
            raise InternalError(
                problem="an election starts once, before anything else", where=type(event).__name__
            )
        if self.ended:
            raise InternalError(problem="the election has ended", where=type(event).__name__)
        self._now, self._out = now, []
        self._dispatch(event)
        if not self.ended:
            self._evaluate()
            self._tell_changes()
        return tuple(self._out)

    def _dispatch(self, event: Event) -> None:
        match event:
            case events.Start():
                self._start(event)
            case events.HeartbeatReceived():
                self._hear(event)
            case events.AnswerDue():
                self._tell(event.peer, (event.path,), answer=True)
            case events.LinkChanged():
                self._change_link(event)
            case events.DataplaneChanged():
                self._dataplane_ready = event.ready
                self._improved_at = self._now
            case events.AddressesRepaired():
                self._announcements.contest(self._now)
                self._record("address.added", "they had been removed", addresses=", ".join(event.addresses))
            case events.DeadlineReached():
                self._reach_deadline()
            case events.FailoverRequested():
                self._request_failover(event)
            case events.StopRequested():
                self._stop_requested()
            case events.Woke():
                self._wake(event)
            case events.Reconfigured():
                self._reconfigure(event.settings)

    # Events

    def _start(self, event: events.Start) -> None:
        self._started = True
        self.links = TrackedLinks({path: dict(event.links).get(path, False) for path in self.settings.paths})
        self.holding, self._dataplane_ready = event.holding, event.dataplane_ready
        self.since = self._voice.next_tick = self._now
        self._record("router.init", "it held the addresses already" if event.holding else "start")
        self._listen()
        self._tick()

    def _listen(self) -> None:
        """Give peers the time to speak: better routers less, so that two fresh ones do not claim together."""
        own = (self.settings.priority, self.settings.name)
        better = sum((priority, name) > own for name, priority in self.settings.peers)
        skew = better * self.settings.heartbeat_interval
        self._listen_until = self._now + self.settings.dead_time + skew

    def _hear(self, event: events.HeartbeatReceived) -> None:
        heartbeat = event.heartbeat
        peer = self.peers.get(heartbeat.sender)
        if peer is None:
            return
        newer, records = peer.hear(heartbeat, self._now)
        self._out += records
        self._highest = max(self._highest, heartbeat.report.epoch)
        self._voice.note_loss(heartbeat.loss, now=self._now, settings=self.settings)
        if newer and self.state is ACTIVE:
            self._defend(peer, heartbeat.report)

    def _change_link(self, event: events.LinkChanged) -> None:
        if not self.links.change(event.path, up=event.up, now=self._now):
            return
        if not event.up:
            self._record("link.down", "carrier lost", path=event.path)
            return
        held = self.links.held(event.path)
        self._record(
            "link.up",
            "it flaps: does not count until it is steady" if held else "carrier is back",
            path=event.path,
        )
        self._improved_at = self._now
        if self.state is ACTIVE:
            self._announcements.start(self._now)  # switches forgot where we are

    def _reach_deadline(self) -> None:
        if self._quiet_until is not None and self._now >= self._quiet_until:
            self._quiet_until, self._voice.next_tick = None, self._now
            if self.state is ACTIVE:
                self._announcements.start(self._now)
        for peer in self.peers:
            self._out += peer.expire(self._now, self.settings.dead_time)
        for path in self.links.settle(self._now):
            self._record("link.up", "it is steady again", path=path)
            self._improved_at = self._now
        if self._heir_until is not None and self._now >= self._heir_until:
            self._end_handover()
        if self.ended or self._quiet_until is not None:
            return
        if self._now >= self._voice.next_tick:
            self._evaluate()
            self._tick()
        if self._announcements.take_due(self._now):
            self._out.append(events.Announce(refresh=self._announcements.refreshing))

    def _wake(self, event: events.Woke) -> None:
        """We may have been replaced, and whom we have not heard may have spoken: listen first."""
        if event.gap < self.settings.dead_time:
            return
        for peer in self.peers:
            peer.pardon(self._now)
        self._vacant_since = None
        if self.state is INIT:
            self._listen()
        if self.state is ACTIVE and self.peers:
            self._quiet_until = self._now + 2 * self.settings.heartbeat_interval
            self._record("router.woke", f"it did not run for {event.gap:.3f} s", epoch=self.epoch)

    def _reconfigure(self, settings: Settings) -> None:
        self.settings = settings
        self.peers.keep(name for name, _ in settings.peers)
        for peer in self.peers:
            peer.keep_paths(settings.paths)
        self.links.rename(settings.paths)
        if self.state is ACTIVE:
            self._out.append(events.AcquireAddresses())
            self._renew_lease()
            self._announcements.start(self._now)

    # Handing over

    def _request_failover(self, event: events.FailoverRequested) -> None:
        problem, fix = ballot.failover_problem(
            self.peers, name=self.settings.name, state=self.state, fitness=self.report.fitness, to=event.to
        )
        if self._voice.heir or self._stopping:
            problem, fix = "a hand-over is under way", "wait for its end"
        if problem:
            self._out.append(events.AnswerFailover(id=event.id, accepted=False, problem=problem, fix=fix))
            return
        self._name_heir(ballot.heirs(self.peers, fitness=self.report.fitness, to=event.to))
        self._record("failover.requested", "by the operator", to=self._voice.heir)
        self._out.append(events.AnswerFailover(id=event.id, accepted=True))

    def _name_heir(self, heirs: list[str]) -> None:
        """Ask the first heir to take over, and go on serving until it does."""
        self._voice.name_heir(heirs[0])
        self._heir_until = self._now + HANDOVER_LIMIT

    def _end_handover(self) -> None:
        heir, self._voice.heir, self._heir_until = self._voice.heir, "", None
        if self._stopping:
            self._let_go_and_end(f"stop; {heir} did not take over in time")
        else:
            self._record("failover.failed", f"{heir} did not take over in {HANDOVER_LIMIT:g} s", to=heir)

    def _stop_requested(self) -> None:
        if self._stopping:
            return
        serving = self.state is ACTIVE and self._quiet_until is None
        heirs = ballot.heirs(self.peers, fitness=None) if serving else []
        self._stopping = True
        if heirs:
            self._name_heir(heirs)
        else:
            self._let_go_and_end("stop")

    def _let_go_and_end(self, cause: str) -> None:
        if self.state is ACTIVE:
            self._enter(BACKUP, cause)
        self._release()
        self._send()
        self._out.append(events.Stop())
        self.ended = True

    # Decisions

    def _evaluate(self) -> None:
        """Bring the state to what is known; called after every event."""
        self._revisit = None
        if self._stopping:
            return
        if not self._ready:
            self._cannot_serve()
            return
        if self.state is FAULT:
            self._enter(INIT, "can serve again")
            self._listen()
        if self.state is ACTIVE:
            return
        leader = ballot.leader(self.peers)
        if leader is not None:
            self._vacant_since = None
            self._follow(*leader)
        else:
            self._consider_vacancy()

    def _cannot_serve(self) -> None:
        cause = "dataplane not ready" if self.links.usable else "every link is down"
        if self.state is INIT and self.links.usable and self._now < self._listen_until:
            self._revisit = self._listen_until
        elif self.state is not FAULT:
            self._enter(FAULT, cause)
            self._release()

    def _follow(self, name: str, report: Report) -> None:
        """Router ``name`` is active: leave it so, unless it asks us, or serves worse than we would."""
        if self.state is INIT:
            self._enter(BACKUP, f"{name} is active with epoch {report.epoch}")
            self._release()
        own = self.report
        if report.says(Flag.RESIGN):
            why = "it stops" if report.says(Flag.STOPPING) else "its operator asked for it"
            self._claim(f"{name} hands over: {why}")
        elif own.fitness > report.fitness and not ballot.better_ones(
            self.peers, own.rank(self.settings.name)
        ):
            # An advantage of our own must last: the ends of one cable come back at slightly different times.
            settled = self._improved_at + self.settings.dead_time
            if self._now >= settled:
                self._claim(f"{name} lost a link, this router has more")
            else:
                self._revisit = settled

    def _consider_vacancy(self) -> None:
        """Nobody we hear is active."""
        if self.state is INIT and self._now >= self._listen_until and not self._may_claim():
            self._enter(BACKUP, "waits for a better router")
            self._release()
        if ballot.hears_another(self.peers):
            self._vacant_since = None
            return
        if self._vacant_since is None:
            self._vacant_since = self._now
        if self._may_claim():
            self._claim(ballot.vacancy_cause(self.peers))

    def _may_claim(self) -> bool:
        """Whether it is time to fill the vacancy; when not, ``_revisit`` says when it may be."""
        if ballot.hears_another(self.peers):
            return False
        better = ballot.better_ones(self.peers, self.report.rank(self.settings.name))
        at = self._now
        if better:
            # A better router that does not claim has a reason we cannot see, but somebody must serve.
            since = self._now if self._vacant_since is None else self._vacant_since
            at = since + self.settings.dead_time + better * self.settings.heartbeat_interval
        if self.state is INIT and not self.peers.all_alive:
            at = max(at, self._listen_until)
        if self._now < at:
            self._revisit = at
        return self._now >= at

    def _defend(self, peer: Peer, report: Report) -> None:
        """We are active and hear another router: the higher epoch serves, then the better rank."""
        mine, theirs = self.epoch, report.epoch
        if report.state is ACTIVE:
            own = self.report.rank(self.settings.name)
            if (theirs, report.rank(peer.name)) > (mine, own):
                self._yield(f"{peer.name} is active with epoch {theirs}, ours is {mine}")
            else:
                self._insist(peer.name, theirs)
        elif theirs > mine and report.says(Flag.FOLLOWING):
            self._yield(f"{peer.name} follows an active router of epoch {theirs}, ours is {mine}")
        elif theirs > mine:
            self.epoch = self._highest = theirs + 1

    def _insist(self, name: str, theirs: int) -> None:
        """Router ``name`` is wrong: tell it now, and tell the network (which may have believed it)."""
        self._tell(name, self.links.usable)
        just_claimed = (
            self._claimed_at is not None and self._now < self._claimed_at + self.settings.heartbeat_interval
        )
        if not just_claimed and self._announcements.contest(self._now):
            self._record("router.contested", f"{name} is active too, with epoch {theirs}", epoch=self.epoch)

    def _yield(self, cause: str) -> None:
        if self._stopping:
            self._let_go_and_end(cause)
        else:
            self._enter(BACKUP, cause)
            self._release()
