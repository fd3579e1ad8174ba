"""The benchmark's page, its table for a terminal, and its picture."""

import xml.etree.ElementTree as ET

import msgspec
import pytest

from chart import chart, charted
from figures import Aim, Machine, Noise, Part, Results, Row, at_least, at_most
from performance_page import (
    aim_text,
    cells,
    heads,
    markdown_table,
    noise_text,
    number,
    page,
    terminal_text,
    verdict,
    with_spread,
)
from ratios import Spread, spread

MACHINE = Machine(
    processor="A CPU", cpus=2, memory_gib=4.0, kernel="6.1", date="2026-01-01", commit="abc123+"
)
SVG = "{http://www.w3.org/2000/svg}"


def row(how: str, ratio: float, *, aim: Aim | None = None, what: str = "requests <1>") -> Row:
    values = spread([ratio * 9, ratio * 10, ratio * 12])
    ratios = Spread(median=ratio, low=ratio * 0.9, high=ratio * 1.1)
    return Row(what=what, how=how, value=values, unit="k/s", ratio=ratios, aim=aim)


ABSENT = Row(what="requests <1>", how="haproxy", value=None, unit="k/s", note="not installed")
OURS = row("shoal-tc", 0.97, aim=at_least(0.95))


def part(*rows: Row, quiet: bool = True, baseline: str = "forwarding") -> Part:
    return Part(
        name="tcp",
        title="TCP",
        about="What it is.",
        command="python bench/tcp.py",
        rounds=7,
        baseline=baseline,
        rows=rows,
        noise=Noise(own_share=0.99 if quiet else 0.5, steal_share=0.002),
        seconds=3.0,
    )


def results(*parts: Part) -> Results:
    return Results(machine=MACHINE, parts=parts)


WHOLE = results(part(row("forwarding", 1.0), OURS, row("nft-dnat", 0.9), ABSENT))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (123.45, "123"),
        (1234.5, "1,234"),
        (1048576.0, "1,048,576"),
        (128.0, "128"),
    ],
)
def test_numbers_have_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert number(value) == text


def test_a_spread_shows_its_range_unless_it_has_none() -> None:
    assert with_spread(Spread(median=2, low=1, high=3)) == "2 (1 to 3)"
    assert with_spread(Spread(median=128, low=128, high=128)) == "128"


def test_an_aim_says_its_side() -> None:
    assert aim_text(at_least(0.95)) == "at least 0.95"
    assert aim_text(at_most(1 / 3.5)) == "at most 0.286"
    assert aim_text(at_least(1_000_000)) == "at least 1,000,000"


def test_a_row_shows_figure_ratio_aim_and_verdict() -> None:
    assert cells(part(), OURS) == (
        "requests <1>",
        "shoal-tc",
        "9.7 (8.73 to 11.6) k/s",
        "0.97 (0.87 to 1.07)",
        "at least 0.95",
        "met",
    )


def test_a_missed_aim_stands_out() -> None:
    assert cells(part(), row("shoal-tc", 0.9, aim=at_least(0.95)))[-1] == "**missed**"


def test_the_baseline_shows_no_ratio_to_itself() -> None:
    assert cells(part(), row("forwarding", 1.0))[3] == ""


def test_what_could_not_be_measured_says_why() -> None:
    assert cells(part(), ABSENT)[2:] == ("not installed", "", "", "")


def test_a_part_without_a_baseline_has_no_column_for_ratios() -> None:
    alone = part(baseline="")
    assert heads(alone) == ("what", "how", "median (range)", "aim", "")
    assert len(cells(alone, OURS)) == len(heads(alone))


def test_a_noisy_machine_is_named() -> None:
    assert noise_text(part()) == "99% of the CPU's busy time ours, 0.2% stolen"
    assert noise_text(part(quiet=False)).startswith("**noisy**: 50% of")


def test_the_verdict_counts_aims_and_names_those_missed() -> None:
    assert verdict(WHOLE) == "Every aim is met (1 of 1)."
    bad = row("shoal-xdp", 0.6, aim=at_most(0.5), what="64k flows")
    assert verdict(results(part(OURS, bad))) == "1 of 2 aims are met; missed: 64k flows (shoal-xdp)."


def test_a_table_has_a_rule_below_its_head() -> None:
    assert markdown_table([("a", "b"), ("1", "2")]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_the_page_holds_machine_commands_picture_and_every_row() -> None:
    text = page(WHOLE)
    for expected in (
        "A CPU",
        "abc123+",
        "Linux 6.1",
        "    python bench/tcp.py",
        "(performance.svg)",
        "7 rounds",
    ):
        assert expected in text
    assert text.count("| requests <1> |") == 4


def test_the_terminal_shows_the_same_rows_without_markup() -> None:
    text = terminal_text(results(part(OURS, quiet=False)))
    assert "shoal-tc  9.7 (8.73 to 11.6) k/s  0.97 (0.87 to 1.07)  at least 0.95  met" in text
    assert "**" not in text


def test_the_picture_has_a_bar_for_each_ratio_but_the_baselines() -> None:
    tree = ET.fromstring(chart(WHOLE))
    bars = [rect.get("class") for rect in tree.iter(f"{SVG}rect")]
    assert bars == ["ours", "other"]
    labels = [text.text for text in tree.iter(f"{SVG}text") if text.get("text-anchor") == "end"]
    assert labels == ["requests <1>: shoal-tc", "requests <1>: nft-dnat"]


def test_the_picture_marks_an_aim_where_its_limit_is() -> None:
    tree = ET.fromstring(
        chart(results(part(row("forwarding", 1.0), row("shoal-tc", 0.5, aim=at_least(1.0)))))
    )
    lines = {line.get("class"): line.get("x1") for line in tree.iter(f"{SVG}line")}
    assert lines["aim"] == lines["one"]


def test_the_picture_has_colours_for_dark_pages() -> None:
    assert "prefers-color-scheme: dark" in chart(WHOLE)


def test_what_has_no_aim_is_not_drawn() -> None:
    assert charted(part(row("shoal-tc", 0.9))) == []


def test_results_survive_being_written_and_read() -> None:
    assert msgspec.json.decode(msgspec.json.encode(WHOLE), type=Results) == WHOLE
