"""What a drill is. ``drills`` has them all, and runs them."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from shoal.lab.cluster import Lab
from shoal.lab.evidence import JournalLine, Observation

Trigger = Callable[[], None]


class Drill(ABC):
    """One thing that happens to a cluster. ``observe`` is how many seconds to watch before mending it.

    With ``requests`` a client sends HTTP requests too, each over a new connection. ``connections`` is how many TCP
    connections it holds. A table of many runs has at most ``most_runs`` of this one.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    observe: ClassVar[float] = 3.5
    detection: ClassVar[tuple[str, ...]] = ()
    requests: ClassVar[bool] = False
    connections: ClassVar[int] = 20
    most_runs: ClassVar[int] = 1000

    def rehearse(self, lab: Lab) -> None:  # noqa: B027 (most drills need none)
        """What takes its time before anything is watched; the cluster is healthy, and waited for again."""

    def target(self, lab: Lab, chance: random.Random) -> str:
        """The node that it happens to: the active router, unless a drill says otherwise."""
        return lab.active()

    @abstractmethod
    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Make ready, and return what does it."""

    @abstractmethod
    def mend(self, lab: Lab, target: str) -> None:
        """Undo the damage; the cluster may need some time to recover from then on."""

    def detected(self, lab: Lab, *, target: str, journal: tuple[JournalLine, ...]) -> float | None:
        """When (Unix time) Shoal had noticed: the first of the drill's events on another node."""
        return next(
            (line.at for line in journal if line.record.event in self.detection and line.router != target),
            None,
        )

    def figures(self, observation: Observation, journal: tuple[JournalLine, ...]) -> Mapping[str, float]:
        """What only this drill can count, by name, of the run that has just ended; more is never better."""
        return {}
