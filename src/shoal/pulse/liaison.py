"""The connection to ``lvsd``: it may come and go, and misses nothing that it should know."""

import os
from collections import deque
from pathlib import Path

from shoal.errors import PeerError
from shoal.ipc.messages import Hello, Message, Record, RoleReport
from shoal.system.channel import Channel

RETRY = 0.5  # seconds between attempts to connect
REPORT_GAP = 0.05  # least seconds between two role reports
RECORDS_KEPT = 1000  # records kept while lvsd is away; the oldest go first


class Liaison:
    """Sends the role whenever it changed, and records in their order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: Channel | None = None
        self._retry_at = 0.0
        self._reported: RoleReport | None = None
        self._reported_at = 0.0
        self._records: deque[Record] = deque(maxlen=RECORDS_KEPT)

    def fileno(self) -> int | None:
        """The descriptor to poll while there is a connection."""
        return None if self._channel is None else self._channel.fileno()

    def record(self, record: Record) -> None:
        """Tell ``lvsd``, now or when it is back."""
        self._records.append(record)

    def reply(self, message: Message) -> None:
        """Answer a request; it is lost when the connection is."""
        if self._channel is not None and not self._channel.send(message):
            self._drop()

    def service(self, report: RoleReport, *, now: float) -> float | None:
        """Connect, report and record as far as it is due; when to come back at the latest."""
        if self._channel is None:
            if now < self._retry_at:
                return self._retry_at
            self._retry_at = now + RETRY
            self._connect(report, now)
            return self._retry_at
        if not self._channel.flush():
            return self._drop()
        while self._records:
            if not self._channel.send(self._records[0]):
                return self._drop()
            self._records.popleft()
        return self._report(report, now)

    def receive(self) -> list[Message]:
        """What ``lvsd`` asks. A connection that broke is opened again later."""
        if self._channel is None:
            return []
        try:
            messages = self._channel.receive()
        except PeerError:
            messages = None
        if messages is None:
            self._drop()
            return []
        return messages

    def close(self, report: RoleReport, *, now: float) -> None:
        """Say the last words and hang up."""
        self._reported_at = 0.0
        self.service(report, now=now)
        self._drop()

    def _connect(self, report: RoleReport, now: float) -> None:
        self._channel = Channel.connect(self._path)
        if self._channel is None:
            return
        self._reported = None
        if not self._channel.send(Hello(child="pulse", pid=os.getpid())):
            self._drop()
            return
        self._report(report, now)

    def _report(self, report: RoleReport, now: float) -> float | None:
        if self._channel is None or report == self._reported:
            return None
        if self._reported is not None and now < self._reported_at + REPORT_GAP:
            return self._reported_at + REPORT_GAP
        if not self._channel.send(report):
            return self._drop()
        self._reported, self._reported_at = report, now
        return None

    def _drop(self) -> float | None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None
        return self._retry_at
