"""What was seen from outside and noted inside while something happened. Pure."""

from dataclasses import dataclass
from typing import Any

from shoal.ipc.messages import Record
from shoal.lab.measure import Question, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen. Times are CLOCK_MONOTONIC seconds; connections and requests are the watchers' rows."""

    samples: tuple[Sample, ...]
    questions: tuple[Question, ...]
    connections: tuple[dict[str, Any], ...]
    announcements: tuple[tuple[float, str, str], ...]
    requests: tuple[tuple[float, float, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of a router's journal. ``at`` is Unix time, seconds."""

    router: str
    record: Record

    @property
    def at(self) -> float:
        """When it happened."""
        return self.record.at
