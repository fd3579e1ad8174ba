"""The client's view as an SVG: each answer's latency, what was lost, who owned the VIP. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from shoal.lab.measure import Sample, Span, Tenure, outages

WIDTH = 960
_LEFT, _RIGHT = 70, 20
_TITLE = 34
_PLOT = 170
_LOST = 28
_OWNER = 18
_AXIS = 34
_GAP = 24
VIEW_HEIGHT = _TITLE + _LOST + _PLOT + _OWNER + _AXIS + _GAP
_LATENCY_FROM, _LATENCY_TO = 1e-5, 1.0  # seconds; decades of the vertical axis
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d", "#439894", "#eeca3b", "#79706e")
_NOBODY = "#dddddd"
_TWO = "#d62728"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened, to be pointed at."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One chart. ``tenures`` carry routers' names, ``routers`` fixes their colours, ``origin`` is zero."""

    title: str
    origin: float
    span: Span
    samples: Sequence[Sample]
    tenures: Sequence[Tenure]
    routers: Sequence[str]
    marks: Sequence[Mark] = ()


def picture(views: Sequence[View]) -> str:
    """One SVG document with the charts below each other."""
    height = VIEW_HEIGHT * len(views)
    charts = "".join(
        f'<g transform="translate(0,{index * VIEW_HEIGHT})">{_chart(view)}</g>'
        for index, view in enumerate(views)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{charts}</svg>\n'
    )


def _chart(view: View) -> str:
    parts = (
        f'<text x="{_LEFT}" y="20" font-size="15" font-weight="bold">{escape(view.title)}</text>',
        _grid(view),
        *(_outage(view, span) for span in outages(view.samples)),
        _answers(view),
        _losses(view),
        *(_tenure(view, tenure) for tenure in view.tenures),
        *(_mark(view, mark, index) for index, mark in enumerate(view.marks)),
    )
    return "".join(parts)


def _x(view: View, moment: float) -> float:
    inside = min(max(moment, view.span.start), view.span.end)
    share = (inside - view.span.start) / (view.span.seconds or 1.0)
    return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def _y(latency: float) -> float:
    bounded = min(max(latency, _LATENCY_FROM), _LATENCY_TO)
    share = math.log10(bounded / _LATENCY_FROM) / math.log10(_LATENCY_TO / _LATENCY_FROM)
    return round(_TITLE + _LOST + (1 - share) * _PLOT, 1)


def _grid(view: View) -> str:
    """The axes: a line for each decade of latency, a label for each whole (or half) second."""
    lines = []
    for exponent, label in (
        (-5, ""),
        (-4, "0.1 ms"),
        (-3, "1 ms"),
        (-2, "10 ms"),
        (-1, "0.1 s"),
        (0, "1 s"),
    ):
        y = _y(10.0**exponent)
        lines.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#eeeeee"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end" fill="#666666">{label}</text>')
    step = next(step for step in (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, math.inf) if view.span.seconds / step <= 12)
    tick = math.ceil((view.span.start - view.origin) / step) * step if math.isfinite(step) else 0.0
    bottom = _TITLE + _LOST + _PLOT + _OWNER
    while view.origin + tick <= view.span.end:
        x = _x(view, view.origin + tick)
        lines.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle" fill="#666666">{tick:g} s</text>')
        tick = round(tick + step, 6)
    lines.append(f'<text x="{_LEFT - 6}" y="{_TITLE + 12}" text-anchor="end" fill="{_TWO}">lost</text>')
    lines.append(f'<text x="{_LEFT - 6}" y="{bottom - 5}" text-anchor="end" fill="#666666">VIP at</text>')
    middle = _TITLE + _LOST + _PLOT / 2
    lines.append(
        f'<text transform="translate(14,{middle}) rotate(-90)" text-anchor="middle" fill="#666666">answer after</text>'
    )
    return "".join(lines)


def _answers(view: View) -> str:
    dots = "".join(
        f"M{_x(view, sample.sent)} {_y(sample.answered - sample.sent)}h0"
        for sample in view.samples
        if not sample.lost and sample.answered is not None
    )
    return (
        f'<path d="{dots}" stroke="#4c78a8" stroke-width="2.2" stroke-linecap="round" stroke-opacity="0.5"/>'
    )


def _losses(view: View) -> str:
    ticks = "".join(
        f"M{_x(view, sample.sent)} {_TITLE + 4}v{_LOST - 18}" for sample in view.samples if sample.lost
    )
    return f'<path d="{ticks}" stroke="{_TWO}" stroke-width="1"/>'


def _outage(view: View, span: Span) -> str:
    left, right = _x(view, span.start), _x(view, span.end)
    label = ""
    if right - left > 20:
        label = (
            f'<text x="{(left + right) / 2:.1f}" y="{_TITLE + _LOST + _PLOT / 2}" text-anchor="middle" '
            f'fill="{_TWO}" font-weight="bold">{span.seconds * 1000:.0f} ms</text>'
        )
    return (
        f'<rect x="{left}" y="{_TITLE}" width="{max(right - left, 0.5):.1f}" height="{_LOST + _PLOT}" '
        f'fill="{_TWO}" fill-opacity="0.10"/>{label}'
    )


def _tenure(view: View, tenure: Tenure) -> str:
    left, right = _x(view, tenure.span.start), _x(view, tenure.span.end)
    name = " + ".join(tenure.owners) or "nobody"
    if len(tenure.owners) > 1:
        colour = _TWO
    elif tenure.owners and tenure.owners[0] in view.routers:
        colour = _COLOURS[view.routers.index(tenure.owners[0]) % len(_COLOURS)]
    else:
        colour = _NOBODY
    top = _TITLE + _LOST + _PLOT
    text = ""
    if right - left > 40:
        text = (
            f'<text x="{(left + right) / 2:.1f}" y="{top + 13}" text-anchor="middle" '
            f'fill="{"white" if tenure.owners else "#333333"}">{escape(name)}</text>'
        )
    return (
        f'<rect x="{left}" y="{top}" width="{max(right - left, 0.5):.1f}" height="{_OWNER}" fill="{colour}">'
        f"<title>{escape(name)}</title></rect>{text}"
    )


def _mark(view: View, mark: Mark, index: int) -> str:
    x = _x(view, mark.at)
    y = _TITLE + _LOST + 14 + (index % 4) * 15
    near_edge = x > WIDTH - 200
    anchor, offset = ("end", -5) if near_edge else ("start", 5)
    bottom = _TITLE + _LOST + _PLOT + _OWNER
    return (
        f'<line x1="{x}" x2="{x}" y1="{_TITLE}" y2="{bottom}" stroke="#333333" stroke-dasharray="4 3"/>'
        f'<text x="{x + offset}" y="{y}" text-anchor="{anchor}">{escape(mark.label)}</text>'
    )
