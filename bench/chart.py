"""docs/performance.svg: the ratios as bars, with their spread and their aims. Pure; readable in light and dark."""

from collections.abc import Iterator
from html import escape

from figures import Part, Results, Row

WIDTH = 860
LABEL = 290  # where bars begin
PLOT = WIDTH - LABEL - 90
ROW = 20
HEAD = 52
STYLE = """
text { font: 12px sans-serif; fill: #24292f } .title { font-weight: bold; font-size: 14px } .faint { fill: #57606a }
.ours { fill: #2f6fd0 } .other { fill: #a0a7b0 } .spread { stroke: #24292f } .one { stroke: #8c959f }
.aim { stroke: #cf222e; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9da7b1 } .ours { fill: #58a6ff } .other { fill: #6e7681 }
  .spread { stroke: #e6edf3 } .one { stroke: #7d8590 } .aim { stroke: #ff7b72 }
}
"""


def chart(results: Results) -> str:
    """One SVG document, a panel for each part that has ratios with aims."""
    panels, top = [], 10
    for part in results.parts:
        if rows := charted(part):
            panels.append(f'<g transform="translate(0,{top})">{_panel(part, rows)}</g>')
            top += HEAD + ROW * len(rows) + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
        f"<style>{STYLE}</style>{''.join(panels)}</svg>\n"
    )


def charted(part: Part) -> list[Row]:
    """The rows of everything that has an aim, without the baseline itself (which is 1)."""
    aimed = {row.what for row in part.rows if row.aim and row.ratio}
    return [row for row in part.rows if row.what in aimed and row.ratio and row.how != part.baseline]


def _panel(part: Part, rows: list[Row]) -> str:
    longest = max(1.0, *(row.ratio.high for row in rows if row.ratio), *(r.aim.limit for r in rows if r.aim))
    scale = PLOT / longest
    is_rate = any(row.aim.at_least for row in rows if row.aim)
    better = "longer is better" if is_rate else "shorter is better"
    bottom = HEAD + ROW * len(rows)
    one = LABEL + scale
    parts = [
        f'<text class="title" x="10" y="18">{escape(part.title)}</text>',
        f'<text class="faint" x="10" y="36">ratio to {escape(part.baseline)}, median and range; {better}; '
        "the red mark is the aim</text>",
        f'<line class="one" stroke-dasharray="3 3" x1="{one:.1f}" x2="{one:.1f}" y1="{HEAD - 4}" y2="{bottom}"/>',
        *(bar for index, row in enumerate(rows) for bar in _bar(row, HEAD + index * ROW, scale)),
    ]
    return "".join(parts)


def _bar(row: Row, top: int, scale: float) -> Iterator[str]:
    if row.ratio is None:
        return
    kind = "ours" if row.how.startswith("shoal") else "other"
    low, high = LABEL + row.ratio.low * scale, LABEL + row.ratio.high * scale
    middle = top + ROW / 2
    yield (
        f'<text x="{LABEL - 10}" y="{middle + 4}" text-anchor="end">{escape(row.what)}: {escape(row.how)}</text>'
    )
    yield (
        f'<rect class="{kind}" x="{LABEL}" y="{top + 3}" width="{row.ratio.median * scale:.1f}" '
        f'height="{ROW - 6}"/>'
    )
    yield f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
    yield f'<text class="faint" x="{WIDTH - 70}" y="{middle + 4}">{row.ratio.median:.2f}</text>'
    if row.aim:
        at = LABEL + row.aim.limit * scale
        yield f'<line class="aim" x1="{at:.1f}" x2="{at:.1f}" y1="{top + 1}" y2="{top + ROW - 1}"/>'
