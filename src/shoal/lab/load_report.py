"""The drills in which clients are served throughout: their part of the page, and of what a run prints. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from shoal.lab.promises import PROMISES, broken_by

_HEADER = ("drill", "runs", "what happened", "datagrams lost", "broken TCP", "failed requests", "promise")
_LEGEND = """\
## Under load

The client sends an HTTP request every 10 ms over a new connection besides. `upgrade` and `reload` happen to every
router. A `syn-flood` is sent by a packet socket of the client's, each SYN from a source of its own in 198.18.0.0/15
(IPv6: 2001:2::/48), while 200 TCP connections exchange lines. The router's capacity is measured right before: SYNs
per second that it takes up when it is sent as many as the generator can, the best of three seconds. For this its
public interface has a queue and a thread of its own, on one processor, and the generator another; the real servers,
which answer every SYN, are on the router's. What does not fit the queue is lost before any program: datagrams and
SYNs of clients too, at 150 % a third of them. A broken connection is one that was reset, or silent for three seconds.
"""


def title(document: Mapping[str, Any]) -> str:
    """The drill's name, and how hard it was."""
    name = str(document["drill"])
    return f"{name} {document['percent']} %" if "percent" in document else name


def happened(document: Mapping[str, Any]) -> str:
    """What was done to the cluster, in numbers; empty for a drill that only breaks something."""
    if "upgrades" in document:
        return f"{document['upgrades']} upgrades of each router"
    if "changes" in document:
        return f"{document['changes']} changes on each router"
    if "capacity" in document:
        return (
            f"{document['flood_sent']} SYN/s for {document['flood_seconds']:g} s,"
            f" {document['flood_taken']} taken up, capacity {document['capacity']};"
            f" table {document['table_percent']:g} % full;"
            f" {document['connections_reset']} reset, longest wait {document['longest_wait_ms']:.0f} ms,"
            f" new connections after {document['recovery_ms']:.0f} ms"
        )
    return ""


def section(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the page for these drills; none without any."""
    if not documents:
        return []
    rows = [_HEADER, ("---",) * len(_HEADER), *map(_row, documents)]
    return ["", *_LEGEND.splitlines(), "", *(f"| {' | '.join(row)} |" for row in rows)]


def _row(document: Mapping[str, Any]) -> tuple[str, ...]:
    promised = "; ".join(promise.says for promise in PROMISES[str(document["drill"])])
    return (
        title(document),
        str(document["runs"]),
        happened(document),
        f"{document['probes_lost']} of {document['probes_sent']}",
        f"{document['connections_broken']} of {document['connections']}",
        f"{document['requests_failed']} of {document['requests']}",
        promised + (": NOT KEPT" if broken_by(document) else ""),
    )
