"""Which numbers and ranges of the tables are in use. What is let go of rests for a second: a packet may still look."""

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from shoal.errors import ConfigError

REST = 1.0


class Numbers:
    """Numbers 1..limit-1, handed out lowest first. Number 0 is never given: it means "none"."""

    def __init__(self, limit: int, *, what: str, fix: str) -> None:
        self._limit = limit
        self._what = what
        self._fix = fix
        self._free: list[int] = []  # a heap of those below the untouched ones
        self._untouched = 1
        self._resting: deque[tuple[float, int]] = deque()

    @property
    def end(self) -> int:
        """One more than the highest number that was ever given."""
        return self._untouched

    def mark(self, numbers: Iterable[int]) -> None:
        """Note the numbers that a predecessor gave out; to be called once, before any is taken."""
        used = set(numbers)
        self._untouched = max(used, default=0) + 1
        self._free = [number for number in range(1, self._untouched) if number not in used]

    def wait(self, now: float) -> float:
        """Seconds until a number can be taken: 0 when there is one, or when there never will be."""
        self._wake(now)
        if self._free or self._untouched < self._limit or not self._resting:
            return 0.0
        return self._resting[0][0] - now

    def take(self, now: float) -> int:
        """A free number. Raises ConfigError when the table is full."""
        (number,) = self.take_all(1, now)
        return number

    def take_all(self, count: int, now: float) -> list[int]:
        """So many free numbers. Raises ConfigError, and takes none, when the table does not have them."""
        self._wake(now)
        if len(self._free) + self._limit - self._untouched < count:
            raise ConfigError(problem=f"more than {self._limit - 1} {self._what}", fix=self._fix)
        taken = [heapq.heappop(self._free) for _ in range(min(count, len(self._free)))]
        first = self._untouched
        self._untouched += count - len(taken)
        return [*taken, *range(first, self._untouched)]

    def release(self, number: int, now: float) -> None:
        """Let go of a number; it can be taken again after a rest."""
        self._resting.append((now + REST, number))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            heapq.heappush(self._free, self._resting.popleft()[1])


class Ranges:
    """Ranges of 0..limit-1, first fit."""

    def __init__(self, limit: int, *, what: str, fix: str) -> None:
        self._what = what
        self._fix = fix
        self._free: list[tuple[int, int]] = [(0, limit)]  # (first, end), sorted; no two of them touch
        self._resting: deque[tuple[float, int, int]] = deque()

    def mark(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Note the ranges (first, length) that a predecessor gave out; once, before any is taken."""
        ((begin, end),) = self._free
        self._free = []
        for first, length in sorted(each for each in ranges if each[1]):
            if first > begin:
                self._free.append((begin, first))
            begin = max(begin, first + length)
        if begin < end:
            self._free.append((begin, end))

    def wait(self, length: int, now: float) -> float:
        """Seconds until something is free that was not: 0 when there is room, or when there never will be."""
        self._wake(now)
        if length == 0 or self._place_for(length) is not None or not self._resting:
            return 0.0
        return self._resting[0][0] - now

    def take(self, length: int, now: float) -> int:
        """The first number of a free range. Raises ConfigError when none is long enough."""
        self._wake(now)
        if length == 0:
            return 0
        place = self._place_for(length)
        if place is None:
            raise ConfigError(problem=f"no room for {length} more {self._what}", fix=self._fix)
        first, end = self._free[place]
        self._free[place : place + 1] = [(first + length, end)] if first + length < end else []
        return first

    def _place_for(self, length: int) -> int | None:
        return next((i for i, (first, end) in enumerate(self._free) if end - first >= length), None)

    def release(self, first: int, length: int, now: float) -> None:
        """Let go of a range; it can be taken again after a rest."""
        if length:
            self._resting.append((now + REST, first, first + length))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, first, end = self._resting.popleft()
            place = bisect_left(self._free, (first, end))
            last = place
            if last < len(self._free) and self._free[last][0] == end:
                end = self._free[last][1]
                last += 1
            if place and self._free[place - 1][1] == first:
                place -= 1
                first = self._free[place][0]
            self._free[place:last] = [(first, end)]
