"""What a router is in an election, and the commands that follow when that changes."""

from shoal.errors import InternalError
from shoal.model import RouterState
from shoal.pulse import ballot, events
from shoal.pulse.announcements import Announcements
from shoal.pulse.events import Command, Record, Settings
from shoal.pulse.links import TrackedLinks
from shoal.pulse.nouns import Flag, Report
from shoal.pulse.peers import Peers
from shoal.pulse.voice import Voice

INIT, BACKUP, ACTIVE, FAULT = RouterState.INIT, RouterState.BACKUP, RouterState.ACTIVE, RouterState.FAULT

TRANSITIONS = {
    INIT: frozenset({BACKUP, ACTIVE, FAULT}),
    BACKUP: frozenset({ACTIVE, FAULT}),
    ACTIVE: frozenset({BACKUP, FAULT}),
    FAULT: frozenset({INIT}),
}

HANDOVER_WINDOW = 1.0  # seconds after a change of owner in which strange connections are forwarded


class Standing:
    """State, epoch, and what was promised to whom."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = INIT
        self.epoch = 0
        self.since = 0.0
        self.holding = False
        self.links = TrackedLinks(dict.fromkeys(settings.paths, False))
        self.peers = Peers(name for name, _ in settings.peers)
        self.ended = False
        self._started = False
        self._now = 0.0
        self._out: list[Command] = []
        self._announcements = Announcements()
        self._highest = 0
        self._dataplane_ready = False
        self._improved_at = float("-inf")
        self._listen_until = 0.0
        self._vacant_since: float | None = None
        self._quiet_until: float | None = None
        self._claimed_at: float | None = None
        self._heir_until: float | None = None
        self._stopping = False
        self._voice = Voice()
        self._revisit: float | None = None

    @property
    def report(self) -> Report:
        """What this router says of itself now."""
        leader = ballot.leader(self.peers) if self.state is not ACTIVE else None
        epoch = self.epoch if self.state is ACTIVE else leader[1].epoch if leader else self._highest
        flags = {
            Flag.STOPPING: self._stopping,
            Flag.CLAIM: self._claimed_at is not None
            and self._now < self._claimed_at + self.settings.dead_time,
            Flag.HOLDING: self.holding,
            Flag.FOLLOWING: leader is not None,
            Flag.READY: self._ready and not self._stopping,
        }
        return Report(
            state=self.state,
            flags=Flag(sum(flag for flag, is_set in flags.items() if is_set)),
            priority=self.settings.priority,
            epoch=epoch,
            links=self.links.counted,
            config_serial=self.settings.config_serial,
            config_digest=self.settings.config_digest,
        )

    @property
    def _ready(self) -> bool:
        return self._dataplane_ready and bool(self.links.usable)

    def _claim(self, cause: str) -> None:
        """Take over: let the dataplane answer first, then the addresses, then tell everybody."""
        self.epoch = self._highest = max(self._highest, self.epoch) + 1
        self._claimed_at = self._now
        self._vacant_since = self._revisit = None
        self._enter(ACTIVE, cause)
        self.holding = True
        self._begin_handover()
        self._renew_lease()
        self._out.append(events.AcquireAddresses())
        self._announcements.start(self._now)
        self._announcements.take_due(self._now)
        self._out.append(events.Announce())

    def _release(self) -> None:
        if self.holding:
            self._begin_handover()
        self.holding = False
        self._claimed_at = self._quiet_until = self._heir_until = None
        self._voice.heir = ""
        self._announcements.stop()
        if self.peers:
            self._out.append(events.RenewLease(until=self._now))
        self._out.append(events.ReleaseAddresses())

    def _enter(self, state: RouterState, cause: str) -> None:
        if state not in TRANSITIONS[self.state]:
            raise InternalError(problem=f"no way from {self.state} to {state}", where="election")
        self.state, self.since = state, self._now
        self._record(f"router.{state}", cause, epoch=self.epoch if state is ACTIVE else self._highest)

    def _record(self, event: str, cause: str, **fields: str | int | float | bool) -> None:
        self._out.append(Record(event=event, cause=cause, fields=tuple(fields.items())))

    def _begin_handover(self) -> None:
        self._out.append(events.BeginHandover(until=self._now + HANDOVER_WINDOW))

    def _renew_lease(self) -> None:
        """Half an interval less than the peers' patience: we are silent before anyone takes over."""
        margin = self.settings.heartbeat_interval / 2
        until = self._now + self.settings.dead_time - margin if self.peers else None
        self._out.append(events.RenewLease(until=until))

    def _tick(self) -> None:
        """Send the regular heartbeat, and hold what is ours for as long as peers believe it."""
        self._send()
        if self.state is ACTIVE:
            self._renew_lease()
        self._voice.schedule(
            now=self._now, interval=self.settings.heartbeat_interval, all_alive=self.peers.all_alive
        )

    def _tell(self, peer: str, paths: tuple[str, ...], *, answer: bool = False) -> None:
        if self._quiet_until is None and self.peers.get(peer) is not None and paths:
            self._out.append(self._voice.tell(self.report, peer=peer, paths=paths, answer=answer))

    def _send(self) -> None:
        if self._quiet_until is None and self.peers:
            names = [peer.name for peer in self.peers]
            self._out += self._voice.tell_all(self.report, peers=names, paths=self.links.usable)

    def _tell_changes(self) -> None:
        """A change is told at once: links lost and a stop are messages that peers act on at receipt."""
        if not self._voice.has_told(self.report):
            self._send()
