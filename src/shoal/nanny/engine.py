"""One epoll loop and one timing wheel: runs thousands of probes at once, in one thread.

What it costs is close to what the system calls cost: an attempt is a small state object that is fed with
readiness, and there is no task, no future and no stream (10,000 targets every two seconds: see
``bench/checks.py``).
"""

import select
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from shoal.nanny.machine import Outcome, Verdict
from shoal.nanny.probes.base import Attempt
from shoal.nanny.schedule import Wheel

COSTLY_AT_ONCE = 16
"""Attempts with a process of their own that run at a time; others wait, and their timeouts with them."""

_LONGEST_WAIT = 1.0
_READY_AT_ONCE = 1024

Ended = Callable[[Outcome, float], None]
"""Called with an attempt's outcome and the time."""


class Timed(ABC):
    """Something with a deadline that may move. Whoever sets a new one calls ``Engine.wake`` again.

    ``slot`` is the engine's: the slot of the wheel in which it looks at the deadline next, 0 for none.
    """

    __slots__ = ("deadline", "slot")

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.slot = 0

    @abstractmethod
    def due(self, now: float) -> None:
        """The deadline has come."""


class Running(Timed):
    """An attempt under way, or waiting for its turn."""

    __slots__ = ("_engine", "_timeout", "attempt", "descriptor", "ended", "over", "wants")

    def __init__(self, engine: "Engine", attempt: Attempt, *, timeout: float, ended: Ended) -> None:
        super().__init__()
        self._engine = engine
        self._timeout = timeout
        self.attempt = attempt
        self.ended = ended
        self.descriptor = -1
        self.wants = 0
        self.over = False

    def launch(self, now: float) -> Outcome | None:
        """Begin; the timeout runs from here."""
        outcome = self.attempt.open()
        if outcome is None:
            self.descriptor = self.attempt.fileno()
            self.wants = self.attempt.wants
            self.deadline = now + self._timeout
        return outcome

    def due(self, now: float) -> None:
        """The timeout is over."""
        reason = f"{self.attempt.stalled()} within {self._timeout:g} s"
        self._engine.finish(self, Outcome(Verdict.FAIL, reason), now=now)


class Engine:
    """Runs attempts, deadlines and a few other descriptors. Not thread-safe; ``turn`` is the loop's body.

    ``lag`` is by how many seconds the last slot of the wheel was late: how busy this thread is. ``ended``
    counts the attempts that came to an outcome.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._wheel: Wheel[Timed] = Wheel(now=clock())
        self._running: dict[int, Running] = {}
        self._watched: dict[int, Callable[[int], None]] = {}
        self._costly: set[Running] = set()
        self._queue: deque[Running] = deque()
        self.lag = 0.0
        self.ended = 0

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return len(self._running)

    def now(self) -> float:
        """Seconds on the engine's clock."""
        return self._clock()

    def wake(self, timed: Timed) -> None:
        """Call ``due`` once the deadline has come.

        A deadline that has moved on by then is waited for anew.
        """
        if timed.deadline is not None:
            slot = self._wheel.slot(timed.deadline)
            if not 0 < timed.slot <= slot:
                timed.slot = slot
                self._wheel.put(timed, slot=slot)

    def start(self, attempt: Attempt, *, timeout: float, ended: Ended) -> Running:
        """Run an attempt. ``ended`` is called once, never from within this call; not if it is abandoned."""
        running = Running(self, attempt, timeout=timeout, ended=ended)
        if attempt.costly and len(self._costly) >= COSTLY_AT_ONCE:
            self._queue.append(running)
        else:
            self._launch(running, self._clock())
        return running

    def abandon(self, running: Running) -> None:
        """End an attempt without an outcome. One that is over already stays so."""
        if not running.over:
            self._close(running)

    def finish(self, running: Running, outcome: Outcome, *, now: float) -> None:
        """End an attempt with an outcome."""
        if not running.over:
            self._close(running)
            self.ended += 1
            running.ended(outcome, now)

    def watch(self, descriptor: int, *, events: int, ready: Callable[[int], None]) -> None:
        """Call ``ready`` with the epoll events of a descriptor that is not an attempt's."""
        self._watched[descriptor] = ready
        self._epoll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching, before the descriptor is closed."""
        del self._watched[descriptor]
        self._epoll.unregister(descriptor)

    def turn(self, *, longest: float = _LONGEST_WAIT) -> None:
        """Wait at most ``longest`` seconds for something to happen or to be due, and see to it."""
        slot = self._wheel.next_slot()
        wait = longest if slot is None else min(longest, max(0.0, slot - self._clock()))
        events = self._epoll.poll(wait, _READY_AT_ONCE)
        while events:
            self._run_ready(events)
            # An answer that is here must be taken before its timeout is believed: it may be this thread that
            # is late.
            events = self._epoll.poll(0, _READY_AT_ONCE) if len(events) == _READY_AT_ONCE else []
        now = self._clock()
        if slot is not None and slot <= now:
            self.lag = now - slot
            self._run_due(now)

    def close(self) -> None:
        """Abandon everything, processes included."""
        for running in (*self._queue, *self._running.values()):
            running.over = True
            if running.descriptor >= 0:
                running.attempt.close()
        self._queue.clear()
        self._running.clear()
        self._costly.clear()
        self._epoll.close()

    def _run_due(self, now: float) -> None:
        for slot, timed in self._wheel.due(now):
            if slot != timed.slot:
                continue  # it was put into an earlier slot since
            timed.slot = 0
            deadline = timed.deadline
            if deadline is None:
                continue
            if deadline <= now:
                timed.due(now)
            else:
                self.wake(timed)

    def _run_ready(self, events: list[tuple[int, int]]) -> None:
        # Looked up before any of them runs: a descriptor closed by the first may be another attempt's by the
        # second.
        found = [
            (self._running.get(descriptor), self._watched.get(descriptor), mask)
            for descriptor, mask in events
        ]
        now = self._clock()
        for running, ready, mask in found:
            if running is not None:
                if not running.over:
                    self._advance(running, now)
            elif ready is not None:
                ready(mask)

    def _advance(self, running: Running, now: float) -> None:
        attempt = running.attempt
        outcome = attempt.ready()
        if outcome is not None:
            self.finish(running, outcome, now=now)
        elif attempt.wants != running.wants:
            running.wants = attempt.wants
            self._epoll.modify(running.descriptor, attempt.wants)

    def _launch(self, running: Running, now: float) -> None:
        outcome = running.launch(now)
        if outcome is not None:
            self.wake(_Verdict(self, running, outcome, now))
            return
        self._running[running.descriptor] = running
        self._epoll.register(running.descriptor, running.wants)
        self.wake(running)
        if running.attempt.costly:
            self._costly.add(running)

    def _close(self, running: Running) -> None:
        running.over = True
        running.deadline = None
        if running.descriptor >= 0:
            del self._running[running.descriptor]
            running.attempt.close()
        if running in self._costly:
            self._costly.discard(running)
            self._launch_queued()

    def _launch_queued(self) -> None:
        while self._queue and len(self._costly) < COSTLY_AT_ONCE:
            running = self._queue.popleft()
            if not running.over:
                self._launch(running, self._clock())


class _Verdict(Timed):
    """An outcome that was there at once, delivered in the next slot: ``start`` promises not to call back."""

    __slots__ = ("_engine", "_outcome", "_running")

    def __init__(self, engine: Engine, running: Running, outcome: Outcome, now: float) -> None:
        super().__init__(now)
        self._engine = engine
        self._running = running
        self._outcome = outcome

    def due(self, now: float) -> None:
        """Deliver."""
        self._engine.finish(self._running, self._outcome, now=now)
