"""The packet table as a page: python tests/support/packet_table_page.py writes docs/packet-table.md."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "bpf")]

from packet_table import KINDS  # noqa: E402
from packet_table.row import Answered, Dropped, Held, Outcome, Passed, Row  # noqa: E402

from support.frame_text import frame_text  # noqa: E402

PAGE = ROOT / "docs" / "packet-table.md"
HEAD = """# Packet table

What the packet path makes of {count} packets. `script/packet-table` writes this page from the rows in
`tests/bpf/packet_table/`; the tests compare it with them, and run each row through the XDP and the TC program
(`BPF_PROG_TEST_RUN`), where the verdict, every byte of the frame and the counters must be as stated.

The virtual server listens at 192.0.2.10 and 2001:db8::10, port 80 of TCP and 53 of UDP; the real server is 10.0.1.21
or 2001:db8:1::21 with ports 8080 and 5353; clients are 198.51.100.7 and 2001:db8:9::7. "Host": the packet goes to the
router's own stack, untouched. A word at the end is the connection's state afterwards.
"""


def outcome_text(outcome: Outcome) -> str:
    """An outcome in words."""
    if isinstance(outcome, Passed):
        return "host"
    if isinstance(outcome, Dropped):
        return f"dropped: `{outcome.reason}`"
    if isinstance(outcome, Answered):
        return f"dropped: `{outcome.reason}`, answered: {frame_text(outcome.frame)}"
    if isinstance(outcome, Held):
        return "waits for the first"
    return frame_text(outcome.frame)


def row_text(row: Row) -> str:
    """A row of the page's tables."""
    out = outcome_text(row.then)
    if row.state:
        out += f"; `{row.state}`"
    if row.on_xdp is not None:
        out += f" (XDP: {outcome_text(row.on_xdp)})"
    return f"| {row.name} | {frame_text(row.frame)} | {out} |"


def page(kinds: Mapping[str, Sequence[Row]]) -> str:
    """The whole page."""
    parts = [HEAD.format(count=sum(len(rows) for rows in kinds.values()))]
    for kind, rows in kinds.items():
        lines = [f"## {kind}\n", "| packet | in | out |", "|---|---|---|", *map(row_text, rows)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(KINDS))
