"""The supervisor's log: structured lines on standard error, for people at a terminal, as JSON elsewhere."""

import importlib
import sys
from typing import Any

from shoal.ipc.messages import Record

_BAD_NEWS = (".down", ".lost", ".died", ".refused", ".failed", ".rejected", ".fault")


class Log:
    """Keeps records until ``open``: structlog is slow to import, and the children should not wait for it."""

    def __init__(self) -> None:
        self._logger: Any = None
        self._held: list[Record] = []

    def open(self) -> None:
        """Write what was kept, and everything at once from now on."""
        structlog = importlib.import_module("structlog")
        terminal = sys.stderr.isatty()
        lines = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
        time = structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if terminal else "iso", utc=not terminal)
        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[structlog.processors.add_log_level, time, lines],
        )
        held, self._held = self._held, []
        for record in held:
            self.write(record)

    def write(self, record: Record) -> None:
        """A line of the journal as a line of the log."""
        if self._logger is None:
            self._held.append(record)
            return
        fields = {name if name != "event" else "event_": value for name, value in record.fields.items()}
        if record.cause:
            fields["cause"] = record.cause
        write = self._logger.warning if record.event.endswith(_BAD_NEWS) else self._logger.info
        write(record.event, **{**fields, "source": record.source})
