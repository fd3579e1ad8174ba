"""The lab's documents as text for people, at most 80 columns wide. Pure."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shoal.ipc.messages import Record
from shoal.lab.evidence import JournalLine
from shoal.lab.load_report import happened, section, title
from shoal.lab.promises import PROMISES, broken_by

WIDTH = 80
_SUBJECTS = ("real_server", "virtual_server", "peer", "path", "interface", "address", "child", "to")
_OBVIOUS = ("service.put", "dataplane.attached", "announce.sent")


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str]) -> str:
    """Columns as wide as they must be; the last one is cut at the page's edge."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )
    return "\n".join(shorten(line) for line in lines)


def shorten(line: str, width: int = WIDTH) -> str:
    """A line that fits, with an ellipsis when something was cut off."""
    return line if len(line) <= width else line[: width - 1] + "…"


def status(document: Mapping[str, Any]) -> str:
    """``shoal lab status``."""
    routers = table(
        [
            (
                router["name"],
                router["state"],
                router["address"],
                links(router["links"]),
                ", ".join(str(address) for address in router["addresses"]) or "-",
            )
            for router in document["routers"]
        ],
        header=("router", "state", "address", "links", "floating addresses"),
    )
    real_servers = table(
        [
            (server["name"], server["address"], str(server["processes"]), health(server["health"]))
            for server in document["real_servers"]
        ],
        header=("real server", "address", "processes", "health"),
    )
    alarms = [
        f"alarm: {router['name']}: {alarm}" for router in document["routers"] for alarm in router["alarms"]
    ]
    head = (
        f"lab {document['name']}: VIP {document['vip']}, gateway {document['gateway']}, {document['forward']}"
    )
    return "\n\n".join([head, routers, real_servers, *(["\n".join(alarms)] if alarms else [])])


def links(states: Mapping[str, bool]) -> str:
    """The links that are down, or that none is."""
    down = [name for name, up in states.items() if not up]
    if not states:
        return "-"
    return f"{', '.join(down)} down" if down else "up"


def health(by_router: Mapping[str, Mapping[str, str]]) -> str:
    """One word when every router agrees on every virtual server, the exceptions otherwise."""
    seen = {state for states in by_router.values() for state in states.values()}
    if not seen:
        return "not known"
    if len(seen) == 1:
        return seen.pop()
    return ", ".join(
        f"{virtual} {state} on {router}"
        for router, states in by_router.items()
        for virtual, state in states.items()
        if state != "up"
    )


def trial(document: Mapping[str, Any]) -> str:
    """What real traffic came to, for a terminal."""
    rows = [(name, _came_to(seen)) for name, seen in document["trials"].items()]
    title = f"{document['forward']} over IPv{document['family']}"
    return table(rows, header=(title, "what came of it"))


def _came_to(seen: Mapping[str, Any]) -> str:
    if "error" in seen:
        return f"FAILED: {seen['error']}"
    if "bytes" in seen:
        rate = seen["bytes"] * 8 / 1e6 / max(seen["seconds"], 0.001)
        return f"{seen['bytes'] / 1e6:.0f} MB whole, {rate:.0f} Mbit/s"
    count = seen.get("requests", seen.get("questions"))
    return f"{count} answered by {', '.join(seen['real_servers'])}"


def drill(document: Mapping[str, Any]) -> str:
    """``shoal lab drill NAME``: each run, then what all of them amount to."""
    rows = [
        (
            str(number),
            run["target"],
            f"{run['outage_ms']:g}",
            f"{run['lost']} of {run['sent']}",
            str(run["connections_broken"]),
            f"{run['two_owners_ms']:g}",
            str(run["announcements"]),
            "-" if run["detection_ms"] is None else f"{run['detection_ms']:g}",
        )
        for number, run in enumerate(document["each"], 1)
    ]
    header = (
        "run",
        "node",
        "outage ms",
        "probes lost",
        "broken",
        "two owners ms",
        "announced",
        "detected ms",
    )
    outage, two = document["outage_ms"], document["two_owners_ms"]
    lines = [
        f"{document['drill']}: {document['runs']} runs",
        f"  outage        median {outage['median']:g} ms, max {outage['max']:g} ms",
        f"  probes        {document['probes_lost']} of {document['probes_sent']} lost",
        f"  connections   {document['connections_broken']} of {document['connections']} broken",
        f"  two owners    median {two['median']:g} ms, max {two['max']:g} ms",
        f"  during repair {document['repair_probes_lost']} probes lost",
    ]
    return table(rows, header=header) + "\n\n" + "\n".join([*lines, *_particulars(document)])


def _particulars(document: Mapping[str, Any]) -> list[str]:
    """What only some drills have to say."""
    lines = []
    if requests := document["requests"]:
        lines.append(f"  requests      {document['requests_failed']} of {requests} failed")
    if what := happened(document):
        lines += textwrap.wrap(what, WIDTH, initial_indent=" " * 16, subsequent_indent=" " * 16)
    if "lost_after_detection" in document:
        lines.append(f"  after detection {document['lost_after_detection']} probes lost")
    return lines


_DRILL_HEADER = ("drill", "runs", "outage ms", "lost", "broken TCP", "two owners ms", "announced", "promise")


def _drill_rows(documents: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            title(found),
            str(found["runs"]),
            f"{found['outage_ms']['median']:.0f} / {found['outage_ms']['max']:.0f}",
            f"{found['probes_lost']} of {found['probes_sent']}",
            f"{found['connections_broken']} of {found['connections']}",
            f"{found['two_owners_ms']['median']:.0f} / {found['two_owners_ms']['max']:.0f}",
            str(found["announcements"]),
            "; ".join(promise.says for promise in PROMISES[str(found["drill"])])
            + ("" if not broken_by(found) else ": NOT KEPT"),
        )
        for found in documents
    ]


def drills_table(documents: Sequence[Mapping[str, Any]]) -> str:
    """All drills, a line each, in 80 columns: the promise only where it is broken."""
    rows = [(*row[:5], "kept" if not broken_by(found) else "NOT KEPT") for row, found in _paired(documents)]
    return table(rows, header=(*_DRILL_HEADER[:5], "promise"))


def _paired(documents: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    return list(zip(_drill_rows(documents), documents, strict=True))


def drills_page(documents: Sequence[Mapping[str, Any]], *, machine: str) -> str:
    """The page docs/drills.md."""
    runs = documents[0]["runs"] if documents else 0
    faults = [found for found in documents if not happened(found)]
    lines = [
        "# What clients notice",
        "",
        f"Made by `shoal lab up && shoal lab drill all --repeat {runs} --page docs/drills.md`",
        f"on kernel {machine}, at default settings (heartbeats every 100 ms, dead after 300 ms of",
        "silence on all paths). A client sends a datagram through the VIP every 2 ms from 16 ports;",
        "the outage is the longest time from a lost one to the next that was answered. Twenty TCP connections",
        "exchange a line every 50 ms; without connection synchronisation they break when the routers change places.",
        "Two owners: the time in which two routers answered the same question (ARP, ND) for the VIP. Figures are",
        "median / maximum over the runs, each begun at a random moment.",
        "",
        "| " + " | ".join(_DRILL_HEADER) + " |",
        "|" + "---|" * len(_DRILL_HEADER),
    ]
    lines += ["| " + " | ".join(row) + " |" for row in _drill_rows(faults)]
    lines += section([found for found in documents if happened(found)])
    return "\n".join(lines) + "\n"


def timeline(lines: Iterable[JournalLine], *, origin: float) -> str:
    """Journals, merged: seconds since ``origin`` (Unix time), router, event and cause.

    Neighbouring lines of one router and one event are drawn together.
    """
    rendered: list[str] = []
    for line, count in _together(lines):
        record = line.record
        what = f"{record.event}{_subject(record)}" + (f" (x{count})" if count > 1 else "")
        head = f"{line.at - origin:+8.3f} s  {line.router:<4} {what}"
        whole = f"{head}: {record.cause}" if record.cause else head
        if len(whole) <= WIDTH:
            rendered.append(whole)
        else:
            rendered += [shorten(head), shorten(f"                 {record.cause}")]
    return "\n".join(rendered)


def _together(lines: Iterable[JournalLine]) -> list[tuple[JournalLine, int]]:
    groups: list[tuple[JournalLine, int]] = []
    for line in lines:
        if line.record.event in _OBVIOUS and groups:
            last, count = groups[-1]
            if (last.router, last.record.event) == (line.router, line.record.event):
                groups[-1] = (last, count + 1)
                continue
        groups.append((line, 1))
    return groups


def _subject(record: Record) -> str:
    """What an event is about: the names among its fields."""
    names = [str(record.fields[key]) for key in _SUBJECTS if key in record.fields]
    return f" {' '.join(names)}" if names else ""
