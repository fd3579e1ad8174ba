"""What a drill's runs amount to: one document. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.lab import measure
from shoal.lab.evidence import JournalLine, Observation
from shoal.lab.picture import Mark, View
from shoal.lab.topology import Topology
from shoal.model import Address

_BEFORE = 0.3  # seconds of a picture before the fault
_AFTER = 0.7  # and after the last thing worth seeing
_SHORTEST = 1.5
_MARKED = ("peer.lost", "router.active", "real_server.down", "lvsd.started", "link.down")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a drill. Times are CLOCK_MONOTONIC seconds, except ``began``: the fault's Unix time.

    ``journal`` is what the routers noted until the repair.

    ``detected`` is when Shoal had acted on the fault (kill-real: the dataplane knew), None when it need not.
    ``mended`` is when the repair began: what comes after it is counted apart. ``figures`` are the drill's own.
    """

    target: str
    vip: Address
    injected: float
    began: float
    mended: float
    detected: float | None
    observation: Observation
    journal: tuple[JournalLine, ...]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def samples(self) -> tuple[measure.Sample, ...]:
        """The probe's samples until the repair."""
        return tuple(sample for sample in self.observation.samples if sample.sent < self.mended)

    @property
    def questions(self) -> tuple[measure.Question, ...]:
        """The questions for the VIP until the repair."""
        return tuple(question for question in self.observation.questions if question.asked < self.mended)

    @property
    def moves(self) -> int:
        """How often a router became active."""
        return sum(line.record.event == "router.active" for line in self.journal)

    @property
    def is_disturbed(self) -> bool:
        """Whether a router's pulse was kept from running: then the figures tell of this machine, not of Shoal."""
        return any(line.record.event == "pulse.late" for line in self.journal)

    def moment(self, at: float) -> float:
        """A journal's time (Unix) on the watchers' clock."""
        return self.injected + at - self.began

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
        "broken_because": _reasons(run),
        "requests": len(run.observation.requests),
        "requests_failed": sum(bool(error) for _, _, _, error in run.observation.requests),
        "two_owners_ms": measure.milliseconds(measure.owned_twice(run.questions)),
        "announcements": _announcements(run),
        "moves": run.moves,
        "detection_ms": None,
        "repair": {
            "lost": measure.lost(later),
            "two_owners_ms": measure.milliseconds(measure.owned_twice(later_questions)),
        },
        **run.figures,
    }
    if run.detected is not None:
        line["detection_ms"] = measure.milliseconds(run.detected - run.injected)
        line["lost_after_detection"] = measure.lost_after(samples, run.detected)
    return line


def _reasons(run: Run) -> dict[str, int]:
    """Why connections broke, and how many for each reason."""
    return dict(Counter(str(row["broken"]) for row in run.broken()))


def _announcements(run: Run) -> int:
    return sum(
        address == str(run.vip) and run.injected <= heard < run.mended
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
        "requests": sum(line["requests"] for line in lines),
        "requests_failed": sum(line["requests_failed"] for line in lines),
        "two_owners_ms": measure.spread([line["two_owners_ms"] for line in lines]),
        "announcements": sum(line["announcements"] for line in lines),
        "moves": sum(line["moves"] for line in lines),
        "detection_ms": measure.spread(detections),
        "disturbed": sum(run.is_disturbed for run in runs),
        "repair_probes_lost": sum(line["repair"]["lost"] for line in lines),
        **{name: max(run.figures.get(name, 0) for run in runs) for run in runs for name in run.figures},
    }
    if drill == "kill-real":
        result["lost_after_detection"] = sum(line.get("lost_after_detection", line["lost"]) for line in lines)
    return {**result, "each": lines}


def view(run: Run, topology: Topology, *, title: str) -> View:
    """The client's view of a run, from just before the fault until nothing more happens to it."""
    marks = [Mark(at=run.injected, label=title), *_marks(run)]
    last = max([mark.at for mark in marks] + [span.end for span in measure.outages(run.samples)])
    span = measure.Span(
        start=run.injected - _BEFORE, end=max(min(last + _AFTER, run.mended), run.injected + _SHORTEST)
    )
    shown = [question for question in run.questions if span.start <= question.asked <= span.end]
    return View(
        title=title,
        origin=run.injected,
        span=span,
        samples=[sample for sample in run.samples if span.start <= sample.sent <= span.end],
        tenures=[
            measure.Tenure(span=each.span, owners=tuple(topology.owner_of_mac(mac) for mac in each.owners))
            for each in measure.tenures(shown)
        ],
        routers=topology.routers,
        marks=marks,
    )


def _marks(run: Run) -> list[Mark]:
    """The first of each event of the journal that is worth pointing at."""
    found: dict[str, Mark] = {}
    for line in run.journal:
        label = f"{line.router}: {line.record.event}"
        if line.record.event in _MARKED and label not in found:
            found[label] = Mark(at=run.moment(line.at), label=label)
    return list(found.values())
