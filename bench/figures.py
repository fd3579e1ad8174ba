"""The nouns of a benchmark's result: aims, rows, parts. Pure; ``bench/results.json`` is these, written out."""

from collections.abc import Iterator
from dataclasses import dataclass

from ratios import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a figure should reach: ``limit``, from above or from below."""

    limit: float
    at_least: bool

    def is_met_by(self, value: float) -> bool:
        """Whether the value is on the right side of the limit, or on it."""
        return value >= self.limit if self.at_least else value <= self.limit


def at_least(limit: float) -> Aim:
    """An aim for what should be great."""
    return Aim(limit=limit, at_least=True)


def at_most(limit: float) -> Aim:
    """An aim for what should be small."""
    return Aim(limit=limit, at_least=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured figure.

    ``value`` is None where it could not be measured, and ``note`` says why. ``ratio`` is to the part's baseline,
    in the same rounds. The aim is for the ratio, where there is one, else for the value.
    """

    what: str
    how: str
    value: Spread | None
    unit: str
    ratio: Spread | None = None
    aim: Aim | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is met; None where there is no aim."""
        judged = self.ratio or self.value
        if self.aim is None:
            return None
        return judged is not None and self.aim.is_met_by(judged.median)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What else the CPU was doing: our share of its busy time, and the share that the hypervisor took (0..1)."""

    own_share: float
    steal_share: float

    @property
    def is_quiet(self) -> bool:
        """Whether the ratios deserve trust."""
        return self.own_share >= 0.95 and self.steal_share <= 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the benchmark. ``command`` makes it, ``about`` says what is measured and how."""

    name: str
    title: str
    about: str
    command: str
    rounds: int
    baseline: str
    rows: tuple[Row, ...]
    noise: Noise
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was measured."""

    processor: str
    cpus: int
    memory_gib: float
    kernel: str
    date: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything of one run."""

    machine: Machine
    parts: tuple[Part, ...]


def missed(results: Results) -> Iterator[tuple[Part, Row]]:
    """The rows whose aim is not met."""
    for part in results.parts:
        for row in part.rows:
            if row.is_met is False:
                yield part, row
