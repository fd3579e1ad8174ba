"""The journal: one ordered log of what happened on this router, each entry with its cause. Pure.

The newest entries stay in memory for the API; every entry is also one line of JSON for the file that the
shell keeps. Sequence numbers go on across restarts, so a reader who names the last one it has misses nothing.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice

import msgspec

from shoal.ipc.messages import Record

CAPACITY = 10_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. ``at`` is Unix time, seconds; ``cause`` says why, for people."""

    seq: int
    at: float
    router: str
    source: str
    event: str
    cause: str = ""
    fields: dict[str, str | int | float | bool] = {}


_decoder = msgspec.json.Decoder(Entry)


def line(entry: Entry) -> bytes:
    """The entry as one line of JSON, newline included."""
    return msgspec.json.encode(entry) + b"\n"


def record_of(entry: Entry) -> Record:
    """The record that the entry was made from."""
    return Record(at=entry.at, source=entry.source, event=entry.event, cause=entry.cause, fields=entry.fields)


def entries_of(lines: Iterable[bytes]) -> list[Entry]:
    """The entries of a journal file. A line that is torn (power loss, disk full) is left out."""
    entries = []
    for text in lines:
        try:
            entries.append(_decoder.decode(text))
        except msgspec.DecodeError:
            continue
    return entries


class Journal:
    """The newest ``capacity`` entries of ``router``, numbered from 1 or from where ``restored`` ends."""

    def __init__(self, router: str, *, restored: Iterable[Entry] = (), capacity: int = CAPACITY) -> None:
        self._router = router
        self._entries = deque(restored, maxlen=capacity)
        self._last = max((entry.seq for entry in self._entries), default=0)

    @property
    def last(self) -> int:
        """Sequence number of the newest entry; 0 while there is none."""
        return self._last

    def append(self, record: Record) -> Entry:
        """Number a record and keep it."""
        self._last += 1
        entry = Entry(
            seq=self._last,
            at=record.at,
            router=self._router,
            source=record.source,
            event=record.event,
            cause=record.cause,
            fields=record.fields,
        )
        self._entries.append(entry)
        return entry

    def after(self, seq: int, *, limit: int) -> tuple[Entry, ...]:
        """Up to ``limit`` entries that follow ``seq``, oldest first, as far as they are still in memory."""
        newer = 0
        for entry in reversed(self._entries):
            if entry.seq <= seq:
                break
            newer += 1
        start = len(self._entries) - newer
        return tuple(islice(self._entries, start, start + limit))

    def latest(self, limit: int) -> tuple[Entry, ...]:
        """The newest ``limit`` entries, oldest first."""
        return tuple(islice(self._entries, max(0, len(self._entries) - limit), None))
