"""The connection to ``lvsd``. It comes back by itself; what is to be told meanwhile is kept."""

import os
import select
from collections import deque
from collections.abc import Callable
from pathlib import Path

from shoal.errors import PeerError
from shoal.ipc.messages import HealthReport, Hello, Message, Record
from shoal.nanny.engine import Engine, Timed
from shoal.system.channel import Channel

RECONNECT_INTERVAL = 0.5
REPORT_SPACING = 0.02
"""Seconds between reports at least, so that many changes at once make few reports."""

REASON_SPACING = 1.0
"""The same where only reasons changed."""

RECORDS_KEPT = 1000

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET


class Uplink(Timed):
    """``report`` makes the whole report when one is to be sent."""

    __slots__ = ("_channel", "_engine", "_path", "_records", "_report", "_reported_at", "_wanted_at")

    def __init__(self, engine: Engine, path: Path, *, report: Callable[[], HealthReport]) -> None:
        super().__init__(engine.now())
        self._engine = engine
        self._path = path
        self._report = report
        self._channel: Channel | None = None
        self._records: deque[Record] = deque(maxlen=RECORDS_KEPT)
        self._reported_at = engine.now() - REASON_SPACING
        self._wanted_at: float | None = None
        self._connect()

    def due(self, now: float) -> None:
        """Connect again, or send the report that is wanted."""
        if self._channel is None:
            self._connect()
        elif self._wanted_at is not None and self._wanted_at <= now:
            self._send_report(self._channel)
        self._sleep()

    def record(self, record: Record) -> None:
        """Send a line for the journal, now or as soon as ``lvsd`` is there (the latest thousand of them)."""
        self._records.append(record)
        self._send_records()

    def want_report(self, *, reasons_only: bool = False) -> None:
        """Send a report soon."""
        spacing = REASON_SPACING if reasons_only else REPORT_SPACING
        at = max(self._engine.now(), self._reported_at + spacing)
        self._wanted_at = at if self._wanted_at is None else min(at, self._wanted_at)
        self._sleep()

    def close(self) -> None:
        """Say what is left to say, and hang up."""
        if self._channel is not None:
            if self._wanted_at is not None:
                self._send_report(self._channel)
            self._send_records()
            self._disconnect()
        self.deadline = None

    def _connect(self) -> None:
        channel = Channel.connect(self._path)
        if channel is not None:
            self._channel = channel
            self._engine.watch(channel.fileno(), events=_EVENTS, ready=self._ready)
            if self._send(channel, Hello(child="nanny", pid=os.getpid())):
                self._send_report(channel)
                self._send_records()
        self._sleep()

    def _send_report(self, channel: Channel) -> None:
        self._reported_at = self._engine.now()
        if channel.pending:  # a report says everything: a slow reader needs the latest one only
            self._wanted_at = self._reported_at + REPORT_SPACING
        elif self._send(channel, self._report()):
            self._wanted_at = None

    def _send_records(self) -> None:
        while self._records and self._channel is not None and not self._channel.pending:
            if self._send(self._channel, self._records[0]):
                self._records.popleft()

    def _send(self, channel: Channel, message: Message) -> bool:
        if channel.send(message):
            return True
        self._disconnect()
        return False

    def _ready(self, events: int) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            alive = channel.receive() is not None and channel.flush()
        except PeerError:
            alive = False
        if alive:
            self._send_records()
        else:
            self._disconnect()
        self._sleep()

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._engine.unwatch(self._channel.fileno())
            self._channel.close()
            self._channel = None
            self._wanted_at = None

    def _sleep(self) -> None:
        if self._channel is not None:
            self.deadline = self._wanted_at
        elif self.deadline is None or self.deadline <= self._engine.now():
            self.deadline = self._engine.now() + RECONNECT_INTERVAL
        self._engine.wake(self)
