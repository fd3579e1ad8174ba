"""A whole cluster in memory: real elections and real datagrams over networks that lose, delay and forge."""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from shoal.model import RouterState
from shoal.pulse import events
from shoal.pulse.election import Election
from shoal.pulse.events import Settings
from shoal.pulse.exchange import Exchange
from shoal.pulse.heartbeat import Codec, HeartbeatError

KEY = b"sixteen bytes at least"
INTERVAL, DEAD_TIME = 0.1, 0.3
ADDRESSES = 1
FOREVER = float("inf")


@dataclass
class Router:
    """One simulated machine. ``owned`` are the times at which the network believed it to be the owner."""

    name: str
    priority: int
    election: Election | None = None
    exchange: Exchange | None = None
    links: dict[str, bool] = field(default_factory=dict)
    dataplane_ready: bool = True
    stalled: bool = False
    ran_at: float = 0.0
    inbox: list[tuple[str, str, bytes]] = field(default_factory=list)
    holding: bool = False
    lease_until: float | None = -1.0
    owned: list[list[float]] = field(default_factory=list)
    announced: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    answers: list[events.AnswerFailover] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return "dead" if self.election is None else str(self.election.state)


class Simulation:
    """Routers on some paths. Time moves only in ``run``."""

    def __init__(
        self, priorities: dict[str, int], *, paths: tuple[str, ...] = ("private", "public"), seed: int = 1
    ) -> None:
        self.now = 100.0
        self.random = random.Random(seed)
        self.paths = paths
        self.routers = {name: Router(name, priority) for name, priority in priorities.items()}
        for router in self.routers.values():
            router.links = dict.fromkeys(paths, True)
        self.cut: set[tuple[str, str, str]] = set()
        self.loss: dict[str, float] = dict.fromkeys(paths, 0.0)
        self.delay = (0.0001, 0.0005)
        self.journal: list[tuple[float, str, events.Record]] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    # What happens to routers

    def start(self, name: str) -> None:
        """Start the daemon; addresses that a killed one left are still there."""
        router = self.routers[name]
        peers = tuple((peer.name, peer.priority) for peer in self.routers.values() if peer is not router)
        settings = Settings(
            name=name,
            priority=router.priority,
            peers=peers,
            paths=self.paths,
            heartbeat_interval=INTERVAL,
            dead_time=DEAD_TIME,
        )
        router.election = Election(settings)
        router.exchange = Exchange(
            name=name,
            session=self.random.getrandbits(64) | 1,
            codec=Codec(cluster="c", key=KEY, paths=self.paths),
            peers=tuple(peer for peer, _ in peers),
            paths=self.paths,
            dead_time=DEAD_TIME,
        )
        router.stalled, router.inbox = False, []
        start = events.Start(
            holding=router.holding, links=tuple(router.links.items()), dataplane_ready=router.dataplane_ready
        )
        self.give(name, start)

    def give(self, name: str, event: events.Event) -> None:
        """Hand an event to a router's election and carry out what it commands."""
        router = self.routers[name]
        if router.election is None or router.election.ended:
            return
        router.ran_at = self.now
        for command in router.election.handle(event, now=self.now):
            self._execute(router, command)
        if router.exchange is not None:
            router.rejected = dict(router.exchange.rejected)

    def crash(self, name: str) -> None:
        """Power loss: everything is gone at once."""
        router = self.routers[name]
        router.election, router.holding = None, False
        self._end_ownership(router)

    def kill(self, name: str) -> None:
        """Only the daemon dies: addresses stay, the lease runs out."""
        self.routers[name].election = None

    def stall(self, name: str, duration: float) -> None:
        """The daemon does not run; its sockets go on filling."""
        self.routers[name].stalled = True
        self.at(self.now + duration, lambda: self._wake(name))

    def set_link(self, name: str, path: str, *, up: bool) -> None:
        """Plug or unplug a cable."""
        self.routers[name].links[path] = up
        if not self.routers[name].stalled:
            self.give(name, events.LinkChanged(path=path, up=up))

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self._order += 1
        heapq.heappush(self._queue, (when, self._order, action))

    # Time

    def run(self, duration: float) -> None:
        """Let time pass. Datagrams that are due come before timers: sockets are drained first."""
        end = self.now + duration
        while True:
            router, deadline = self._next_deadline()
            arrival = self._queue[0][0] if self._queue else FOREVER
            if min(deadline, arrival) > end:
                break
            if arrival <= deadline:
                when, _, action = heapq.heappop(self._queue)
                self.now = max(self.now, when)
                action()
            elif router is not None:
                self.now = max(self.now, deadline)
                self.give(router.name, events.DeadlineReached())
                after = router.election.deadline if router.election is not None else None
                assert after is None or after > self.now, f"{router.name} spins at {self.now}"
        self.now = end

    def _next_deadline(self) -> tuple[Router | None, float]:
        due = [
            (router.election.deadline, router.name)
            for router in self.routers.values()
            if router.election is not None and router.election.deadline is not None and not router.stalled
        ]
        if not due:
            return None, FOREVER
        deadline, name = min(due)
        return self.routers[name], deadline

    # What the network does

    def deliver(self, sender: str, receiver: str, path: str, datagram: bytes) -> None:
        """A datagram reaches a router's socket (forged and replayed ones also come this way)."""
        router = self.routers[receiver]
        if router.election is None or not router.links[path]:
            return
        if router.stalled:
            router.inbox.append((sender, path, datagram))
            return
        self._take(router, sender, path, datagram)

    def _take(self, router: Router, sender: str, path: str, datagram: bytes) -> None:
        assert router.exchange is not None
        try:
            received = router.exchange.incoming(datagram, peer=sender, path=path, now=self.now)
        except HeartbeatError:
            router.rejected = dict(router.exchange.rejected)
            return
        if received.live:
            self.give(router.name, events.HeartbeatReceived(heartbeat=received.heartbeat))
        if received.answer:
            self.give(router.name, events.AnswerDue(peer=sender, path=path))

    def _wake(self, name: str) -> None:
        router = self.routers[name]
        if router.election is None or not router.stalled:
            return
        router.stalled = False
        self.give(name, events.Woke(gap=self.now - router.ran_at))
        for path, up in router.links.items():
            self.give(name, events.LinkChanged(path=path, up=up))
        inbox, router.inbox = router.inbox, []
        for sender, path, datagram in inbox:
            self._take(router, sender, path, datagram)

    def _execute(self, router: Router, command: events.Command) -> None:
        match command:
            case events.SendHeartbeat():
                self._send(router, command)
            case events.AcquireAddresses():
                router.holding = True
                self._note_ownership(router)
            case events.ReleaseAddresses():
                router.holding = False
                self._end_ownership(router)
            case events.RenewLease():
                router.lease_until = command.until
                self._note_ownership(router)
            case events.Announce():
                router.announced.append(self.now)
            case events.Record():
                self.journal.append((self.now, router.name, command))
                if command.event == "router.active":
                    router.claims.append(self.now)
            case events.AnswerFailover():
                router.answers.append(command)
            case events.Stop():
                router.election = None

    def _send(self, router: Router, command: events.SendHeartbeat) -> None:
        assert router.exchange is not None
        for peer in command.peers:
            for path in command.paths:
                datagram = router.exchange.outgoing(
                    command.report, peer=peer, path=path, now=self.now, answer=command.answer
                )
                router.sent.append((peer, path, datagram))
                blocked = (router.name, peer, path) in self.cut or not router.links[path]
                if blocked or self.random.random() < self.loss[path]:
                    continue
                arrival = self.now + self.random.uniform(*self.delay)
                self.at(arrival, self._delivery(router.name, peer, path, datagram))

    def _delivery(self, sender: str, receiver: str, path: str, datagram: bytes) -> Callable[[], None]:
        return lambda: self.deliver(sender, receiver, path, datagram)

    # Who owned the addresses, as the network saw it

    def _note_ownership(self, router: Router) -> None:
        until = FOREVER if router.lease_until is None else router.lease_until
        if not router.holding or until <= self.now:
            self._end_ownership(router)
        elif router.owned and router.owned[-1][1] >= self.now:
            router.owned[-1][1] = until
        else:
            router.owned.append([self.now, until])

    def _end_ownership(self, router: Router) -> None:
        if router.owned:
            router.owned[-1][1] = min(router.owned[-1][1], self.now)

    def overlaps(self) -> list[tuple[float, float]]:
        """The intervals in which two routers were owners at once."""
        spans = [
            (start, min(end, self.now)) for router in self.routers.values() for start, end in router.owned
        ]
        return [span for span in _at_least(spans, 2) if span[1] - span[0] > 1e-9]

    def vacancies(self, since: float) -> list[tuple[float, float]]:
        """The intervals after ``since`` in which nobody was the owner."""
        spans = [
            (start, min(end, self.now)) for router in self.routers.values() for start, end in router.owned
        ]
        covered = _at_least(spans, 1)
        gaps, at = [], since
        for start, end in covered:
            if start > at:
                gaps.append((at, start))
            at = max(at, end)
        if at < self.now:
            gaps.append((at, self.now))
        return [gap for gap in gaps if gap[1] - gap[0] > 1e-9]

    def moves(self) -> int:
        """How often a router took over."""
        return sum(len(router.claims) for router in self.routers.values())

    def owner(self) -> str | None:
        """The one active router, if there is exactly one."""
        active = [router.name for router in self.routers.values() if router.state == RouterState.ACTIVE]
        return active[0] if len(active) == 1 else None


def _at_least(spans: list[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """The intervals covered by at least ``count`` of the spans."""
    changes: dict[float, int] = defaultdict(int)
    for start, end in spans:
        if end > start:
            changes[start] += 1
            changes[end] -= 1
    result: list[tuple[float, float]] = []
    depth, opened = 0, 0.0
    for when in sorted(changes):
        before, depth = depth, depth + changes[when]
        if before < count <= depth:
            opened = when
        elif depth < count <= before:
            result.append((opened, when))
    return result
