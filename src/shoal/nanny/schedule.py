"""When each target is due: phases that spread the load, and the timing wheel that finds who is due. Pure."""

import math
from collections.abc import Sequence
from typing import Generic, TypeVar

FIRST_ROUND_SPACING = 0.0002
"""Seconds between the very first probes of two targets: 10,000 targets are all asked within two seconds."""

SLOT = 0.01
"""Seconds: the wheel's resolution. Nothing is ever early, and up to one slot late."""

SLOTS = 512

Item = TypeVar("Item")


def phases(intervals: Sequence[float]) -> tuple[float, ...]:
    """For each target its offset within its interval, in seconds.

    Targets of one interval are spread evenly over it, in the order given, so that they never fire together.
    """
    totals: dict[float, int] = {}
    for interval in intervals:
        totals[interval] = totals.get(interval, 0) + 1
    placed: dict[float, int] = {}
    offsets = []
    for interval in intervals:
        index = placed.get(interval, 0)
        placed[interval] = index + 1
        offsets.append(interval * index / totals[interval])
    return tuple(offsets)


def first_regular(*, first: float, origin: float, phase: float, interval: float) -> float:
    """When the regular probes of a target begin that is asked a first time, out of turn, at ``first``.

    Not sooner than half an interval later, or the first round would meet the regular probes and double the
    load.
    """
    begin = origin + phase
    return begin + interval * max(0, math.ceil((first + interval / 2 - begin) / interval))


class Wheel(Generic[Item]):
    """A hashed timing wheel: putting an item in and taking it out cost the same however many there are."""

    __slots__ = ("_held", "_origin", "_slots", "_tick")

    def __init__(self, *, now: float) -> None:
        self._origin = now
        self._tick = 0  # the last slot that was emptied
        self._slots: list[list[tuple[int, Item]]] = [[] for _ in range(SLOTS)]
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def slot(self, at: float) -> int:
        """The slot in which an item for that time is handed out; slots count from 1, for ever."""
        slot = int((at - self._origin) / SLOT)
        return slot + 1 if slot >= self._tick else self._tick + 1

    def put(self, item: Item, *, slot: int) -> None:
        """Let ``due`` hand the item out once this slot, one of ``slot``, has come."""
        self._slots[slot % SLOTS].append((slot, item))
        self._held += 1

    def due(self, now: float) -> list[tuple[int, Item]]:
        """The items whose time has come, with their slots, earliest first; each is handed out once."""
        last = int((now - self._origin) / SLOT)
        found: list[tuple[int, Item]] = []
        for slot in range(max(self._tick + 1, last - SLOTS + 1), last + 1):
            entries = self._slots[slot % SLOTS]
            if entries:
                found += [entry for entry in entries if entry[0] <= last]
                self._slots[slot % SLOTS] = [entry for entry in entries if entry[0] > last]
        if last - self._tick > SLOTS:
            found.sort(key=lambda entry: entry[0])
        self._tick = max(self._tick, last)
        self._held -= len(found)
        return found

    def next_slot(self) -> float | None:
        """When ``due`` may next have something to hand out; None while the wheel is empty."""
        if not self._held:
            return None
        ahead = next((n for n in range(1, SLOTS) if self._slots[(self._tick + n) % SLOTS]), SLOTS)
        return self._origin + (self._tick + ahead) * SLOT
