"""The supervisor's log: structured lines on standard error, for people at a terminal, as JSON elsewhere."""

import importlib
import sys
from datetime import UTC, datetime
from typing import Any

from shoal.ipc.messages import Record

_BAD_NEWS = (".down", ".lost", ".died", ".refused", ".failed", ".rejected", ".fault")


class Log:
    """Keeps records until ``open``: structlog is slow to import, and the children should not wait for it."""

    def __init__(self) -> None:
        self._logger: Any = None
        self._held: list[Record] = []
        self._terminal = False

    def open(self) -> None:
        """Write what was kept, and everything at once from now on."""
        structlog = importlib.import_module("structlog")
        self._terminal = sys.stderr.isatty()
        lines = structlog.dev.ConsoleRenderer() if self._terminal else structlog.processors.JSONRenderer()
        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[structlog.processors.add_log_level, lines],
        )
        held, self._held = self._held, []
        for record in held:
            self.write(record)

    def write(self, record: Record) -> None:
        """A line of the journal as a line of the log, with the time at which it happened."""
        if self._logger is None:
            self._held.append(record)
            return
        fields = {name if name != "event" else "event_": value for name, value in record.fields.items()}
        if record.cause:
            fields["cause"] = record.cause
        write = self._logger.warning if record.event.endswith(_BAD_NEWS) else self._logger.info
        write(record.event, **{**fields, "source": record.source, "timestamp": self._time(record.at)})

    def _time(self, at: float) -> str:
        if self._terminal:
            return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
