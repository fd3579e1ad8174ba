"""The journal."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shoal.ipc.messages import Record
from shoal.lvsd.journal import Journal, entries_of, line, record_of

DIED = Record(
    at=12.5, source="nanny", event="real_server.down", cause="HTTP 503", fields={"real_server": "rs1"}
)


def test_entries_are_numbered_in_the_order_in_which_they_come() -> None:
    journal = Journal("lb1")
    assert [journal.append(DIED).seq for _ in range(3)] == [1, 2, 3]
    assert journal.last == 3


def test_an_entry_is_one_line_of_json_with_its_cause() -> None:
    text = line(Journal("lb1").append(DIED))
    assert text.endswith(b"}\n")
    assert json.loads(text) == {
        "seq": 1,
        "at": 12.5,
        "router": "lb1",
        "source": "nanny",
        "event": "real_server.down",
        "cause": "HTTP 503",
        "fields": {"real_server": "rs1"},
    }


def test_a_cause_of_several_lines_is_still_one_line_of_the_file() -> None:
    entry = Journal("lb1").append(Record(at=1.0, source="lvsd", event="config.refused", cause="one\ntwo"))
    assert line(entry).count(b"\n") == 1


def test_reading_the_file_gives_the_same_entries_and_leaves_out_torn_lines() -> None:
    journal = Journal("lb1")
    entries = [journal.append(DIED) for _ in range(2)]
    assert entries_of([line(entries[0]), b'{"seq": 7, "at"', b"", line(entries[1])]) == entries


def test_numbers_go_on_after_a_restart() -> None:
    before = Journal("lb1")
    entries = [before.append(DIED) for _ in range(5)]
    after = Journal("lb1", restored=entries)
    assert after.append(DIED).seq == 6
    assert [entry.seq for entry in after.latest(2)] == [5, 6]


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    journal = Journal("lb1", capacity=3)
    for _ in range(10):
        journal.append(DIED)
    assert [entry.seq for entry in journal.after(0, limit=100)] == [8, 9, 10]


def test_an_entry_gives_back_the_record_it_was_made_from() -> None:
    assert record_of(Journal("lb1").append(DIED)) == DIED


@given(count=st.integers(0, 30), after=st.integers(0, 40), limit=st.integers(1, 40))
def test_after_returns_exactly_the_entries_that_follow(count: int, after: int, limit: int) -> None:
    journal = Journal("lb1", capacity=20)
    everything = [journal.append(DIED) for _ in range(count)][-20:]
    assert journal.after(after, limit=limit) == tuple(e for e in everything if e.seq > after)[:limit]


@given(count=st.integers(0, 30), limit=st.integers(1, 40))
def test_latest_returns_the_newest_entries_oldest_first(count: int, limit: int) -> None:
    journal = Journal("lb1", capacity=20)
    everything = [journal.append(DIED) for _ in range(count)][-20:]
    assert journal.latest(limit) == tuple(everything[-limit:])
