"""The packet table: every row in both programs, to the last byte."""

import pytest
from packet_table import KINDS, ROWS
from packet_table.row import Dropped, Passed, Row, Sent
from packet_table.run import connections, outcome_of, prepare

from support.packet_bench import PacketBench
from support.packet_table_page import PAGE, page


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_frame_becomes_what_its_row_says(bench: PacketBench, row: Row):
    prepare(bench, row.before)
    before = connections(bench)
    expected = row.outcome(bench.program)
    assert outcome_of(bench, row.frame) == expected
    after = connections(bench)
    if row.state is not None and row.on_xdp is None:
        assert [each.state.value for each in after] == row.state.split()
    elif not isinstance(expected, Sent):
        assert [each.state for each in after] == [each.state for each in before]


def test_the_table_has_at_least_300_rows_and_no_two_alike():
    assert len(ROWS) >= 300
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({(row.before, row.frame) for row in ROWS}) == len(ROWS)
    assert sum(len(rows) for rows in KINDS.values()) == len(ROWS)


def test_every_way_out_is_in_the_table():
    assert {type(row.then) for row in ROWS} >= {Passed, Dropped, Sent}


def test_the_page_shows_the_table_as_it_is():
    assert PAGE.read_text() == page(KINDS), "run script/packet-table"
