"""The drill of the SYN flood: how many SYNs a router takes is measured first, then that many or more are sent.

The active router's public interface gets a receive queue and a thread of its own (NAPI), as a network card has: what
does not fit into it is lost there, before any program. Thread and generator each have a processor if there are two.
What the SYNs cost the real servers, who answer each of them (with SYN cookies), is on the router's account: they share
its processor, since a veth passes frames on at once. Where they are on the public side (dr, tunnel), answers to health
checks come through the full queue as well, and some probes fail for that.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import UnavailableError
from shoal.lab import measure, namespaces
from shoal.lab.cluster import Lab
from shoal.lab.drill import Drill, Trigger
from shoal.lab.evidence import JournalLine, Observation
from shoal.lab.networks import Bridge
from shoal.lab.observe import await_ready, start
from shoal.lab.syn_frames import SOURCES
from shoal.lab.texts import HTTP_PORT
from shoal.lab.topology import SWITCH
from shoal.model import Hook

_SILENT = "no answer for"
_GRACE = 10.0  # seconds that a generator may take longer than it should
_NEVER = 60_000.0  # milliseconds; what is said of a recovery that was not seen
_MEASUREMENTS = 3  # the best counts: a machine that is busy otherwise makes a router slower, never faster
_THREAD = "napi/{interface}-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """One flood. ``taken`` is how many of the ``sent`` the router had a look at; times are CLOCK_MONOTONIC seconds."""

    sent: int
    taken: int
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return max(self.ended - self.began, 1e-6)


class SynFlood(Drill):
    """SYNs from everywhere, more than the router can take, to the port of the web servers."""

    name = "syn-flood"
    summary = "SYNs from random sources at a share of what the router takes, while clients are served"
    observe = 6.0
    requests = True
    connections = 200
    most_runs = 1

    def __init__(self, *, percent: int = 100, seconds: float = 30.0, measuring: float = 1.0) -> None:
        self._percent, self._seconds, self._measuring = percent, seconds, measuring
        self._capacity = 0.0
        self._flood: Flood | None = None
        self._table_percent = 0.0

    def rehearse(self, lab: Lab) -> None:
        """Make room for the flood, and find out how many SYNs a second the active router takes at most."""
        target = lab.active()
        _give_way(lab)
        _give_queue(lab, target)
        floods = [_flood(lab, target, rate=0.0, seconds=self._measuring) for _ in range(_MEASUREMENTS)]
        self._capacity = max(flood.taken / flood.seconds for flood in floods)

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Nothing more: the capacity is known."""
        rate = self._capacity * self._percent / 100

        def trigger() -> None:
            self._flood = _flood(lab, target, rate=rate, seconds=self._seconds)
            self._table_percent = _table_percent(lab, target)

        return trigger

    def mend(self, lab: Lab, target: str) -> None:
        """The interface gets back the queue it had."""
        _take_queue(lab, target)

    def figures(self, observation: Observation, journal: tuple[JournalLine, ...]) -> Mapping[str, float]:
        """Rates in SYNs per second; what was reset, what was taken for dead, and how soon new connections worked."""
        flood = self._flood
        if flood is None:
            raise UnavailableError(where="syn-flood", problem="there was no flood")
        events = [line.record.event for line in journal]
        silent = sum(row["broken"].startswith(_SILENT) for row in observation.connections)
        return {
            "percent": self._percent,
            "capacity": round(self._capacity),
            "flood_sent": round(flood.sent / flood.seconds),
            "flood_taken": round(flood.taken / flood.seconds),
            "flood_seconds": round(flood.seconds, 1),
            "table_percent": self._table_percent,
            "connections_reset": sum(bool(row["broken"]) for row in observation.connections) - silent,
            "connections_silent": silent,
            "longest_wait_ms": measure.milliseconds(
                max((row["longest_wait"] for row in observation.connections), default=0.0)
            ),
            "health_failures": events.count("real_server.down"),
            "peers_lost": events.count("peer.lost"),
            "take_overs": events.count("router.active"),
            "recovery_ms": recovery(observation.requests, since=flood.ended),
        }


def recovery(requests: Sequence[tuple[float, float, str, str]], *, since: float) -> float:
    """Milliseconds from ``since`` until new connections worked again for good.

    That is the first answer to a request that was sent after the last one that failed, and after ``since``.
    """
    later = [row for row in requests if row[0] + row[1] >= since]
    failed = [sent for sent, _, _, error in later if error]
    last_failure = max(failed, default=since)
    answered = [
        sent + took for sent, took, _, error in later if not error and sent >= max(since, last_failure)
    ]
    return measure.milliseconds(min(answered) - since) if answered else _NEVER


def _flood(lab: Lab, target: str, *, rate: float, seconds: float) -> Flood:
    """Flood and wait until it is over. Raises UnavailableError."""
    public = lab.topology.port(target, Bridge.PUBLIC)
    arguments = ["--interface", lab.topology.ports("client")[0].interface, "--mac", public.mac]
    arguments += ["--address", str(lab.topology.vip), "--port", str(HTTP_PORT)]
    arguments += ["--rate", str(rate), "--seconds", str(seconds), "--cpu", str(_processors()[1])]
    before = _received(lab, target)
    with tempfile.TemporaryDirectory(prefix="flood-", dir=lab.folder.path) as folder:
        with start(lab, "flood", node="client", arguments=arguments, folder=Path(folder)) as process:
            await_ready("flood", process)
            try:
                process.wait(seconds + _GRACE)
            except subprocess.TimeoutExpired as error:
                raise UnavailableError(where="flood", problem="the generator does not end") from error
        document = json.loads((Path(folder) / "flood.json").read_text())
    return Flood(
        sent=document["sent"],
        taken=_received(lab, target) - before,
        began=document["began"],
        ended=document["ended"],
    )


def _processors() -> tuple[int, int]:
    """Whose are the router's queue and the generator; -1 where there is no choice."""
    present = sorted(os.sched_getaffinity(0))
    return (present[0], present[-1]) if len(present) > 1 else (-1, -1)


def _received(lab: Lab, router: str) -> int:
    """How many frames a router's public interface has handed up."""
    interface = lab.topology.port(router, Bridge.PUBLIC).interface
    document = _run(lab, router, ["ip", "-json", "-stats", "link", "show", "dev", interface])
    return int(json.loads(document)[0]["stats64"]["rx"]["packets"])


def _table_percent(lab: Lab, router: str) -> float:
    """How full a router's table of connections of the lab's family is."""
    dataplane = (lab.router(router).get("/v1/status") or {}).get("dataplane", {})
    family = "ipv6_" if lab.topology.vip.version == 6 else ""
    limit = dataplane.get(f"{family}connections_limit", 0)
    return round(100 * dataplane[f"{family}connections_held"] / limit, 1) if limit else 0.0


def _give_way(lab: Lab) -> None:
    """Answers to the flood find their way to the client's host, and end there without a word.

    This stays as it is: the real servers repeat some of their answers for a minute.
    """
    topology = lab.topology
    sources = str(SOURCES[topology.vip.version])
    for router in topology.routers:
        _run(lab, router, ["ip", "route", "replace", sources, "via", str(topology.address("client"))])
    _run(lab, "client", ["ip", "route", "replace", "blackhole", sources])


def _give_queue(lab: Lab, router: str) -> None:
    """A receive queue with a thread of its own, on its own processor.

    A veth's receiver has a queue when it does GRO, for frames of a sender that leaves no segments to cut
    (veth_skb_is_eligible_for_gro(), drivers/net/veth.c).
    """
    interface = lab.topology.port(router, Bridge.PUBLIC).interface
    _set_offloads(lab, router, gro="on", tso="off")
    before = _threads(interface)
    _set_threaded(lab, router, interface, wanted=True)
    processor, _ = _processors()
    for thread in _threads(interface) - before:
        if processor >= 0:
            os.sched_setaffinity(thread, {processor})


def _take_queue(lab: Lab, router: str) -> None:
    interface = lab.topology.port(router, Bridge.PUBLIC).interface
    _set_threaded(lab, router, interface, wanted=False)
    _set_offloads(lab, router, gro="off", tso="on")


def _set_offloads(lab: Lab, router: str, *, gro: str, tso: str) -> None:
    """With XDP a veth's receiver has a queue anyway, and its sender no choice."""
    if lab.topology.hook is Hook.XDP:
        return
    port = lab.topology.port(router, Bridge.PUBLIC)
    _run(lab, router, ["ethtool", "-K", port.interface, "gro", gro])
    _run(lab, SWITCH, ["ethtool", "-K", port.switch_port, "tso", tso])


def _set_threaded(lab: Lab, router: str, interface: str, *, wanted: bool) -> None:
    """Through a sysfs of its own, since the host's shows the host's interfaces."""
    script = f"mount -t sysfs sysfs /sys && echo {int(wanted)} > /sys/class/net/{interface}/threaded"
    _run(lab, router, ["unshare", "--mount", "sh", "-c", script])


def _run(lab: Lab, node: str, command: Sequence[str]) -> str:
    """Run a program in a node; what it printed. Raises UnavailableError with its complaint."""
    done = namespaces.run(lab.topology.namespace(node), command)
    if done.returncode != 0:
        raise UnavailableError(where=f"lab, {node}", problem=f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _threads(interface: str) -> set[int]:
    """The kernel's threads that serve queues of interfaces of that name, in whatever namespace."""
    name = _THREAD.format(interface=interface)
    return {pid for pid, _ in namespaces.processes() if namespaces.process_name(pid).startswith(name)}
