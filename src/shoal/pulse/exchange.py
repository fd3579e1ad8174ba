"""Sessions between this router and its peers: who is alive now, and what is only a recording of it.

There is neither a synchronised clock nor a disk to remember sequence numbers on. Instead each start of a
router draws a random session, and a heartbeat counts only when it echoes *our* session, which nobody could
know before we started. Rules and attacks: ``docs/protocol/heartbeat.md``.
"""

from collections import deque
from dataclasses import dataclass, field

from shoal.pulse.heartbeat import Codec, HeartbeatError, Received, Rejection
from shoal.pulse.nouns import Heartbeat, Report

ANSWER_GAP = 0.02  # least seconds between two answers to hellos of one peer on one path
RETIRED_SESSIONS = 65_536  # sessions of a peer's past starts that are remembered and never believed again
LOSS_WINDOW = 32  # heartbeats over which loss is measured


@dataclass(slots=True)
class _PathCount:
    """Sequence numbers and loss of one peer on one path."""

    sent: int = 0
    received: int = 0
    heard_at: float | None = None
    answered_at: float | None = None
    arrivals: deque[bool] = field(default_factory=lambda: deque(maxlen=LOSS_WINDOW))

    def arrive(self, sequence: int, now: float) -> None:
        """Note a heartbeat, and those before it that did not come."""
        missed = min(sequence - self.received - 1, LOSS_WINDOW) if self.received else 0
        self.arrivals.extend([False] * missed + [True])
        self.received, self.heard_at = sequence, now

    def loss(self, now: float, patience: float) -> int:
        """Percentage lost of what was sent lately; 100 when nothing came for the time of ``patience``."""
        if self.heard_at is None or now - self.heard_at > patience:
            return 100
        return 100 * self.arrivals.count(False) // len(self.arrivals)


class _Correspondent:
    """What is known of one peer's sessions."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.proven = 0
        self.greeting = 0
        self.counts = {path: _PathCount() for path in paths}
        self._retired: dict[int, None] = {}

    def is_retired(self, session: int) -> bool:
        """Whether that session ended: the peer has proved a later one since."""
        return session in self._retired

    def prove(self, session: int) -> None:
        """The peer lives in this session now; the one before is never believed again."""
        if self.proven:
            self._retired[self.proven] = None
            if len(self._retired) > RETIRED_SESSIONS:
                del self._retired[next(iter(self._retired))]
        self.proven = session
        for count in self.counts.values():
            count.received, count.heard_at = 0, None
            count.arrivals.clear()

    def loss(self, now: float, patience: float) -> int:
        """Percentage lost on the best path."""
        return min(count.loss(now, patience) for count in self.counts.values())


class Exchange:
    """Wraps our reports into datagrams and unwraps the peers'. ``session`` is random, new for every start."""

    def __init__(
        self,
        *,
        name: str,
        session: int,
        codec: Codec,
        peers: tuple[str, ...],
        paths: tuple[str, ...],
        dead_time: float,
    ) -> None:
        self._name = name
        self._session = session
        self._codec = codec
        self._dead_time = dead_time
        self._stamp_ns = 0
        self._stamped: Report | None = None
        self._peers = {peer: _Correspondent(paths) for peer in peers}
        self.rejected: dict[str, int] = {}

    def outgoing(self, report: Report, *, peer: str, path: str, now: float, answer: bool = False) -> bytes:
        """The datagram that tells ``report`` to a peer over a path. ``now`` is CLOCK_BOOTTIME in seconds."""
        correspondent = self._peers[peer]
        count = correspondent.counts[path]
        count.sent += 1
        greeting, proven = correspondent.greeting, correspondent.proven
        self._stamp(report, now)
        return self._codec.encode(
            Heartbeat(
                sender=self._name,
                session=self._session,
                echo=(greeting or proven) if answer else (proven or greeting),
                sequence=count.sent,
                path=path,
                stamp_ns=self._stamp_ns,
                loss=correspondent.loss(now, self._dead_time) if proven else 0,
                report=report,
            )
        )

    def incoming(self, datagram: bytes, *, peer: str, path: str, now: float) -> Received:
        """What a datagram says that came over ``path`` from the address of ``peer``.

        Raises ``HeartbeatError``, counted by reason; the datagram has then changed nothing.
        """
        try:
            heartbeat = self._codec.decode(datagram)
            return self._receive(heartbeat, peer=peer, path=path, now=now)
        except HeartbeatError as error:
            self.count_rejected(error.reason)
            raise

    def count_rejected(self, reason: Rejection) -> None:
        """Count a datagram that was not believed."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def _stamp(self, report: Report, now: float) -> None:
        """One moment's report has one stamp on all paths; a changed report always has a later one."""
        changed = report != self._stamped
        self._stamp_ns = max(int(now * 1e9), self._stamp_ns + changed)
        self._stamped = report

    def _receive(self, heartbeat: Heartbeat, *, peer: str, path: str, now: float) -> Received:
        correspondent = self._peers.get(peer)
        if correspondent is None or heartbeat.sender != peer:
            raise HeartbeatError(
                Rejection.UNKNOWN_SENDER, f"{heartbeat.sender!r} speaks from the address of {peer!r}"
            )
        if heartbeat.path != path:
            raise HeartbeatError(Rejection.WRONG_PATH, f"sent on path {heartbeat.path!r}, came on {path!r}")
        if correspondent.is_retired(heartbeat.session):
            raise HeartbeatError(Rejection.REPLAYED, f"of an earlier start of {peer!r}")
        count = correspondent.counts[path]
        if heartbeat.echo != self._session:
            return self._greeted(heartbeat, correspondent, count, now)
        fresh = heartbeat.session != correspondent.proven
        if fresh:
            correspondent.prove(heartbeat.session)
            correspondent.greeting = heartbeat.session
        if heartbeat.sequence <= count.received:
            raise HeartbeatError(
                Rejection.REPLAYED, f"sequence {heartbeat.sequence} after {count.received} from {peer!r}"
            )
        count.arrive(heartbeat.sequence, now)
        return Received(heartbeat=heartbeat, live=True, answer=fresh)

    def _greeted(self, heartbeat: Heartbeat, peer: _Correspondent, count: _PathCount, now: float) -> Received:
        """A hello changes nothing but whom the next answer is for, and the answers are few."""
        due = count.answered_at is None or now >= count.answered_at + ANSWER_GAP
        if due:
            peer.greeting, count.answered_at = heartbeat.session, now
        return Received(heartbeat=heartbeat, live=False, answer=due)
