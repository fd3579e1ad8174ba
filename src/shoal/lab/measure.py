"""From what the watchers saw to the numbers of a drill. Pure; times are CLOCK_MONOTONIC seconds."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

ANSWER_LIMIT = 1.0  # seconds; an answer that takes longer is a loss to the client


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One datagram of the probe. ``answered`` is None when it was lost; ``source`` tells its flow."""

    sent: float
    answered: float | None
    source: int = 0
    server: str = ""

    @property
    def lost(self) -> bool:
        """Whether the client had to do without an answer."""
        return self.answered is None or self.answered - self.sent > ANSWER_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question for the VIP, put to its whole network, and the MAC addresses that answered."""

    asked: float
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """A stretch of time during which the same MAC addresses answered for the VIP (none: nobody did)."""

    span: Span
    owners: tuple[str, ...]


def samples_from(rows: Iterable[Sequence[Any]]) -> tuple[Sample, ...]:
    """The probe's document, typed."""
    return tuple(Sample(sent=row[0], answered=row[1], source=row[2], server=row[3]) for row in rows)


def questions_from(rows: Iterable[Sequence[Any]]) -> tuple[Question, ...]:
    """The owners watcher's document, typed."""
    return tuple(Question(asked=row[0], owners=tuple(sorted(row[1]))) for row in rows)


def outages(samples: Sequence[Sample]) -> tuple[Span, ...]:
    """Each stretch without any answer: from a first lost send to the next answered send.

    An outage that lasts until the end of the samples ends with the last send.
    """
    found: list[Span] = []
    begun: float | None = None
    for sample in samples:
        if sample.lost and begun is None:
            begun = sample.sent
        elif not sample.lost and begun is not None:
            found.append(Span(start=begun, end=sample.sent))
            begun = None
    if begun is not None:
        found.append(Span(start=begun, end=samples[-1].sent))
    return tuple(found)


def longest_outage(samples: Sequence[Sample]) -> float:
    """Seconds of the longest outage; 0.0 when nothing was lost."""
    return max((span.seconds for span in outages(samples)), default=0.0)


def impaired(samples: Sequence[Sample]) -> float:
    """Seconds from the first lost send to the first answered send after the last lost one; 0.0 without loss.

    This is what a partial fault shows: some flows go on, so there is no outage, but some client notices.
    """
    spans = outages(samples)
    return spans[-1].end - spans[0].start if spans else 0.0


def lost(samples: Sequence[Sample]) -> int:
    """How many datagrams were lost."""
    return sum(sample.lost for sample in samples)


def lost_after(samples: Sequence[Sample], moment: float) -> int:
    """How many datagrams that were sent after ``moment`` were lost."""
    return sum(sample.lost for sample in samples if sample.sent > moment)


def owned_twice(questions: Sequence[Question]) -> float:
    """Seconds during which two MAC addresses answered for the VIP: to the network, two owners."""
    return sum(tenure.span.seconds for tenure in tenures(questions) if len(tenure.owners) > 1)


def tenures(questions: Sequence[Question]) -> tuple[Tenure, ...]:
    """Who owned the VIP when. A tenure ends when a question finds other owners, or with the last question."""
    found: list[Tenure] = []
    for index, question in enumerate(questions):
        end = questions[index + 1].asked if index + 1 < len(questions) else question.asked
        if found and found[-1].owners == question.owners:
            found[-1] = Tenure(span=Span(start=found[-1].span.start, end=end), owners=question.owners)
        else:
            found.append(Tenure(span=Span(start=question.asked, end=end), owners=question.owners))
    return tuple(found)


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, to a tenth."""
    return round(seconds * 1000, 1)


def spread(values_ms: Sequence[float]) -> dict[str, float]:
    """Median and maximum, as reports have them."""
    if not values_ms:
        return {"median": 0.0, "max": 0.0}
    return {"median": round(statistics.median(values_ms), 1), "max": round(max(values_ms), 1)}
