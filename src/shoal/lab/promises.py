"""What each drill promises at default settings, and whether a drill's document keeps it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

DEAD_TIME_MS = 300.0

Figure = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One figure of a drill's document and its limit, which it must not pass."""

    says: str
    figure: Figure
    limit: float

    def kept_by(self, document: Mapping[str, Any]) -> bool:
        """Whether the document keeps the promise."""
        return self.figure(document) <= self.limit


def _median_outage(document: Mapping[str, Any]) -> float:
    return float(document["outage_ms"]["median"])


def _longest_outage(document: Mapping[str, Any]) -> float:
    return float(document["outage_ms"]["max"])


def _two_owners(document: Mapping[str, Any]) -> float:
    return float(document["two_owners_ms"]["max"])


def _count(name: str) -> Figure:
    return lambda document: float(document[name])


_OUTAGE_50 = Promise(says="outage at most 50 ms", figure=_longest_outage, limit=50.0)
_NONE_LOST = Promise(says="no datagram lost", figure=_count("probes_lost"), limit=0)

_NONE_BROKEN = Promise(says="no connection broken", figure=_count("connections_broken"), limit=0)
_NO_REQUEST_FAILED = Promise(says="no request failed", figure=_count("requests_failed"), limit=0)

PROMISES: Mapping[str, tuple[Promise, ...]] = {
    "kill-active": (
        Promise(says="median outage below 400 ms", figure=_median_outage, limit=399.9),
        Promise(says="outage below 600 ms", figure=_longest_outage, limit=599.9),
    ),
    "stop-active": (_OUTAGE_50,),
    "cut-public": (_OUTAGE_50,),
    "cut-private": (_OUTAGE_50,),
    "kill-lvsd": (
        _NONE_LOST,
        _NONE_BROKEN,
    ),
    "upgrade": (
        _NONE_LOST,
        _NONE_BROKEN,
        _NO_REQUEST_FAILED,
        Promise(says="every program replaced", figure=_count("programs_left"), limit=0),
        Promise(says="no tail call without its target", figure=_count("places_emptied"), limit=0),
    ),
    "reload": (
        _NONE_LOST,
        _NONE_BROKEN,
        _NO_REQUEST_FAILED,
        Promise(says="every change accepted", figure=_count("changes_refused"), limit=0),
    ),
    "syn-flood": (
        Promise(says="no connection reset", figure=_count("connections_reset"), limit=0),
        Promise(says="no router taken for dead", figure=_count("peers_lost"), limit=0),
        Promise(says="no take-over", figure=_count("take_overs"), limit=0),
        Promise(says="no real server taken for dead", figure=_count("health_failures"), limit=0),
        Promise(says="new connections within 5 s", figure=_count("recovery_ms"), limit=5000.0),
    ),
    "crash-daemons": (
        _NONE_LOST,
        Promise(says="two owners for at most a dead time", figure=_two_owners, limit=DEAD_TIME_MS),
    ),
    "kill-real": (
        Promise(says="nothing lost once it is found out", figure=_count("lost_after_detection"), limit=0),
    ),
}


def broken_by(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The promises that a drill's document does not keep."""
    promises = PROMISES[str(document["drill"])]
    return tuple(promise.says for promise in promises if not promise.kept_by(document))
