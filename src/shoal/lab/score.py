"""What a drill's runs amount to: one document. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shoal.lab import measure
from shoal.lab.evidence import JournalLine, Observation
from shoal.lab.topology import VIP


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a drill. Times are CLOCK_MONOTONIC seconds; ``journal`` is what the routers noted meanwhile.

    ``detected`` is when Shoal had acted on the fault (kill-real: the dataplane knew), None when it need not.
    ``mended`` is when the repair began: what comes after it is counted apart.
    """

    target: str
    injected: float
    mended: float
    detected: float | None
    observation: Observation
    journal: tuple[JournalLine, ...]
    stopped_after: float | None = None

    @property
    def samples(self) -> tuple[measure.Sample, ...]:
        """The probe's samples until the repair."""
        return tuple(sample for sample in self.observation.samples if sample.sent < self.mended)

    @property
    def questions(self) -> tuple[measure.Question, ...]:
        """The ARP questions until the repair."""
        return tuple(question for question in self.observation.questions if question.asked < self.mended)

    @property
    def moves(self) -> int:
        """How often a router became active."""
        return sum(line.record.event == "router.active" for line in self.journal)

    def broken(self) -> tuple[dict[str, Any], ...]:
        """The connections that broke."""
        return tuple(row for row in self.observation.connections if row["broken"])


def each(run: Run) -> dict[str, Any]:
    """One run's line in the document."""
    samples = run.samples
    later = tuple(sample for sample in run.observation.samples if sample.sent >= run.mended)
    later_questions = tuple(q for q in run.observation.questions if q.asked >= run.mended)
    line: dict[str, Any] = {
        "target": run.target,
        "outage_ms": measure.milliseconds(measure.longest_outage(samples)),
        "impaired_ms": measure.milliseconds(measure.impaired(samples)),
        "sent": len(samples),
        "lost": measure.lost(samples),
        "connections_broken": len(run.broken()),
        "two_owners_ms": measure.milliseconds(measure.owned_twice(run.questions)),
        "garps": _garps(run),
        "moves": run.moves,
        "detection_ms": None,
        "repair": {
            "lost": measure.lost(later),
            "two_owners_ms": measure.milliseconds(measure.owned_twice(later_questions)),
        },
    }
    if run.detected is not None:
        line["detection_ms"] = measure.milliseconds(run.detected - run.injected)
        line["lost_after_detection"] = measure.lost_after(samples, run.detected)
    if run.stopped_after is not None:
        line["stopped_after_ms"] = measure.milliseconds(run.stopped_after)
    return line


def _garps(run: Run) -> int:
    return sum(
        address == str(VIP) and run.injected <= heard < run.mended
        for heard, _, address in run.observation.announcements
    )


def document(drill: str, runs: Sequence[Run]) -> dict[str, Any]:
    """The one object that ``shoal lab drill NAME --json`` prints."""
    lines = [each(run) for run in runs]
    detections = [line["detection_ms"] for line in lines if line["detection_ms"] is not None]
    result: dict[str, Any] = {
        "drill": drill,
        "runs": len(lines),
        "outage_ms": measure.spread([line["outage_ms"] for line in lines]),
        "impaired_ms": measure.spread([line["impaired_ms"] for line in lines]),
        "probes_sent": sum(line["sent"] for line in lines),
        "probes_lost": sum(line["lost"] for line in lines),
        "connections": sum(len(run.observation.connections) for run in runs),
        "connections_broken": sum(line["connections_broken"] for line in lines),
        "two_owners_ms": measure.spread([line["two_owners_ms"] for line in lines]),
        "garps": sum(line["garps"] for line in lines),
        "moves": sum(line["moves"] for line in lines),
        "detection_ms": measure.spread(detections),
        "repair_probes_lost": sum(line["repair"]["lost"] for line in lines),
    }
    if drill == "kill-real":
        result["lost_after_detection"] = sum(line.get("lost_after_detection", line["lost"]) for line in lines)
    return {**result, "each": lines}
