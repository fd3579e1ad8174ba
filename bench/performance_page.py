"""The results as text: docs/performance.md, and a table for a terminal. Pure."""

from collections.abc import Sequence

from figures import Aim, Part, Results, Row, missed
from ratios import Spread

PICTURE = "performance.svg"


def number(value: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_spread(spread: Spread) -> str:
    """Median (least to greatest)."""
    if spread.low == spread.high:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)} to {number(spread.high)})"


def ratio_with_spread(spread: Spread) -> str:
    """The same for a ratio, with two decimals."""
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def aim_text(aim: Aim) -> str:
    """What is aimed at, in words."""
    limit = f"{aim.limit:.3g}" if aim.limit < 100 else number(aim.limit)
    return f"{'at least' if aim.at_least else 'at most'} {limit}"


def noise_text(part: Part) -> str:
    """Whose the CPU was; says so when the figures deserve doubt."""
    shares = f"{part.noise.own_share:.0%} of the CPU's busy time ours, {part.noise.steal_share:.1%} stolen"
    return shares if part.noise.is_quiet else f"**noisy**: {shares}"


def cells(part: Part, row: Row) -> tuple[str, ...]:
    """A row's columns; the ratio's only in a part that has a baseline."""
    value = f"{with_spread(row.value)} {row.unit}".strip() if row.value else row.note
    ratio = ratio_with_spread(row.ratio) if row.ratio and row.how != part.baseline else ""
    judged = {None: "", True: "met", False: "**missed**"}[row.is_met]
    aim = aim_text(row.aim) if row.aim else ""
    return (row.what, row.how, value, *((ratio,) if part.baseline else ()), aim, judged)


def heads(part: Part) -> tuple[str, ...]:
    """The columns' names."""
    ratio = (f"ratio to {part.baseline}",) if part.baseline else ()
    return ("what", "how", "median (range)", *ratio, "aim", "")


def verdict(results: Results) -> str:
    """One sentence on the aims."""
    total = sum(row.aim is not None for part in results.parts for row in part.rows)
    failures = [f"{row.what} ({row.how})" for _, row in missed(results)]
    if not failures:
        return f"Every aim is met ({total} of {total})."
    return f"{total - len(failures)} of {total} aims are met; missed: {', '.join(failures)}."


def page(results: Results) -> str:
    """docs/performance.md."""
    machine = results.machine
    lines = [
        "# Performance",
        "",
        f"Made by `script/bench` on {machine.date} at commit {machine.commit}: {machine.processor}, "
        f"{machine.cpus} CPUs, {machine.memory_gib:g} GiB, Linux {machine.kernel}.",
        "",
        "Every figure is a median over rounds, with the least and the greatest round behind it. What is compared is "
        "measured in the same process or site, taking turns; a ratio is the median of the ratios within each round. "
        "Absolute figures depend on the machine, ratios much less. Each command needs root, and `script/bench` run "
        "once before it (with `--quick` if in a hurry).",
        "",
        verdict(results),
        "",
        f"![Ratios and aims]({PICTURE})",
        "",
    ]
    for part in results.parts:
        lines += part_lines(part)
    return "\n".join(lines)


def part_lines(part: Part) -> list[str]:
    """A part's section."""
    return [
        f"## {part.title}",
        "",
        part.about,
        "",
        f"    {part.command}",
        "",
        f"{part.rounds} rounds; {noise_text(part)}.",
        "",
        *markdown_table([heads(part), *(cells(part, row) for row in part.rows)]),
        "",
    ]


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first row is the head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return [f"| {' | '.join(line)} |" for line in lines]


def terminal_text(results: Results) -> str:
    """The same figures for a terminal."""
    blocks = []
    for part in results.parts:
        rows = [heads(part), *(cells(part, row) for row in part.rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        title = f"{part.title}  [{part.rounds} rounds; {noise_text(part)}]"
        blocks.append("\n".join([title, *(f"  {line.rstrip()}" for line in lines)]))
    return "\n\n".join([*blocks, verdict(results)]).replace("**", "")
