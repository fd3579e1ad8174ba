"""Which numbers and ranges of the tables are in use. What is let go of rests for a second: a packet may still look."""

from collections.abc import Iterable

from shoal.errors import ConfigError

REST = 1.0


class Numbers:
    """Numbers 1..limit-1, handed out lowest first. Number 0 is never given: it means "none"."""

    def __init__(self, limit: int, *, what: str) -> None:
        self._limit = limit
        self._what = what
        self._used: set[int] = set()
        self._resting: list[tuple[float, int]] = []

    def mark(self, number: int) -> None:
        """Note a number that a predecessor gave out."""
        self._used.add(number)

    def take(self, now: float) -> int:
        """A free number. Raises ConfigError when the table is full."""
        self._wake(now)
        for number in range(1, self._limit):
            if number not in self._used:
                self._used.add(number)
                return number
        raise ConfigError(problem=f"more than {self._limit - 1} {self._what}", fix="split the configuration")

    def release(self, number: int, now: float) -> None:
        """Let go of a number; it can be taken again after a rest."""
        self._resting.append((now + REST, number))

    def _wake(self, now: float) -> None:
        self._used.difference_update(number for until, number in self._resting if until <= now)
        self._resting = [(until, number) for until, number in self._resting if until > now]


class Ranges:
    """Ranges of 0..limit-1, first fit."""

    def __init__(self, limit: int, *, what: str) -> None:
        self._limit = limit
        self._what = what
        self._used: list[tuple[int, int]] = []
        self._resting: list[tuple[float, tuple[int, int]]] = []

    def mark(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Note ranges (first, length) that a predecessor gave out."""
        self._used = sorted([*self._used, *((first, length) for first, length in ranges if length)])

    def take(self, length: int, now: float) -> int:
        """The first number of a free range. Raises ConfigError when none is long enough."""
        self._wake(now)
        if length == 0:
            return 0
        begin = 0
        for position, (first, used) in enumerate(self._used):
            if first - begin >= length:
                self._used.insert(position, (begin, length))
                return begin
            begin = first + used
        if self._limit - begin < length:
            raise ConfigError(
                problem=f"no room for {length} more {self._what}", fix="split the configuration"
            )
        self._used.append((begin, length))
        return begin

    def release(self, first: int, length: int, now: float) -> None:
        """Let go of a range; it can be taken again after a rest."""
        if length:
            self._resting.append((now + REST, (first, length)))

    def _wake(self, now: float) -> None:
        for until, resting in self._resting:
            if until <= now:
                self._used.remove(resting)
        self._resting = [(until, resting) for until, resting in self._resting if until > now]
