"""Drills: break a healthy cluster on purpose at a random moment, watch the client, mend it.

``prepare`` does all that takes time and returns what breaks the cluster at once, so that a drill measures
Shoal and not the lab.
"""

import random
import signal
import time
from typing import ClassVar

from shoal.errors import ConfigError, NotFoundError, UnavailableError
from shoal.lab import namespaces, nodes
from shoal.lab.changes import ReloadConfiguration, UpgradePrograms
from shoal.lab.cluster import Lab, Say, silent
from shoal.lab.drill import Drill, Trigger
from shoal.lab.evidence import JournalLine
from shoal.lab.observe import watching
from shoal.lab.score import Run
from shoal.lab.syn_flood import SynFlood

_WARM = 0.3  # seconds of watching before anything happens
_PHASE = 0.5  # and up to so many more, so that faults meet every phase of heartbeats and probes
_STOP_LIMIT = 5.0
_LVSD = "shoal-lvsd"


class KillActive(Drill):
    """Power loss."""

    name = "kill-active"
    summary = "power loss: SIGKILL of everything on the active router, both cables cut in that instant"
    detection = ("peer.lost", "router.active")

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Sit ready at the switch with a list of the router's processes."""
        cutter = nodes.CableCutter(lab.topology, target, paths=("public", "private"))
        victims = lab.processes(target)

        def trigger() -> None:
            # Killed first: a router that sees its cables go one by one would still say so over the last one.
            namespaces.send_signal(victims, signal.SIGKILL)
            cutter.cut()
            cutter.close()
            namespaces.end_processes([lab.topology.namespace(target)])  # children born meanwhile

        return trigger

    def mend(self, lab: Lab, target: str) -> None:
        """Power comes back: a fresh kernel state, the same disk."""
        nodes.reboot_router(lab.folder, lab.topology, target)
        nodes.start_router(lab.folder, lab.topology, target)


class StopActive(Drill):
    """A clean stop."""

    name = "stop-active"
    summary = "clean stop: SIGTERM to the active router's supervisor"
    detection = ("router.active",)

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Find the supervisor."""
        supervisors = [pid for pid in lab.processes(target) if "run" in namespaces.command_line(pid)]
        if not supervisors:
            raise UnavailableError(where=target, problem="no supervisor runs", fix="see 'shoal lab status'")
        return lambda: namespaces.send_signal(supervisors, signal.SIGTERM)

    def mend(self, lab: Lab, target: str) -> None:
        """Wait for the end of the stop, and start again."""
        deadline = time.monotonic() + _STOP_LIMIT
        while remaining := lab.processes(target):
            if time.monotonic() > deadline:
                names = ", ".join(f"{pid} {namespaces.process_name(pid)}" for pid in remaining)
                raise UnavailableError(where=target, problem=f"has not stopped after SIGTERM: {names}")
            time.sleep(0.02)
        nodes.start_router(lab.folder, lab.topology, target)


class CrashDaemons(Drill):
    """All daemons die, the node lives on."""

    name = "crash-daemons"
    summary = "kill -9 of all Shoal processes on the active router; node and cables stay alive"
    detection = ("peer.lost", "router.active")

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """List Shoal's processes."""
        victims = [pid for pid in lab.processes(target) if is_shoal(pid)]
        return lambda: namespaces.send_signal(victims, signal.SIGKILL)

    def mend(self, lab: Lab, target: str) -> None:
        """Start Shoal again on the node that still holds addresses and programs."""
        nodes.start_router(lab.folder, lab.topology, target)


class _Cut(Drill):
    """One cable of the active router goes down at the switch."""

    path: ClassVar[str]
    detection = ("router.active",)

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Sit ready at the switch."""
        cutter = nodes.CableCutter(lab.topology, target, paths=(self.path,))

        def trigger() -> None:
            cutter.cut()
            cutter.close()

        return trigger

    def mend(self, lab: Lab, target: str) -> None:
        """Plug the cable in again."""
        nodes.mend_cables(lab.topology, target)


class CutPublic(_Cut):
    """The cable to the clients."""

    name = "cut-public"
    summary = "the active router's public cable is cut at the switch"
    path = "public"


class CutPrivate(_Cut):
    """The cable to the real servers."""

    name = "cut-private"
    summary = "the active router's private cable is cut at the switch"
    path = "private"


class KillReal(Drill):
    """A real server's programs die."""

    name = "kill-real"
    summary = "SIGKILL of everything on one real server"
    observe = 4.0

    def target(self, lab: Lab, chance: random.Random) -> str:
        """Any real server."""
        if len(lab.topology.real_servers) == 1:
            raise ConfigError(
                where="drill kill-real",
                problem="the lab has only one real server",
                fix="build it with 'shoal lab up --real-servers 3'",
            )
        return chance.choice(lab.topology.real_servers)

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """List its processes."""
        victims = lab.processes(target)
        return lambda: namespaces.send_signal(victims, signal.SIGKILL)

    def mend(self, lab: Lab, target: str) -> None:
        """Start its programs again."""
        nodes.start_real_server(lab.folder, lab.topology, target)

    def detected(self, lab: Lab, *, target: str, journal: tuple[JournalLine, ...]) -> float | None:
        """When (Unix time) the active router had taken it out of the echo's virtual server."""
        return out_of_service(journal, router=lab.active(), virtual_server="echo-udp", real_server=target)


class KillLvsd(Drill):
    """The control process dies; its supervisor starts another."""

    name = "kill-lvsd"
    summary = "SIGKILL of lvsd on the active router"

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Find it."""
        victims = [pid for pid in lab.processes(target) if namespaces.process_name(pid) == _LVSD]
        if not victims:
            raise UnavailableError(where=target, problem="no lvsd runs", fix="see 'shoal lab status'")
        return lambda: namespaces.send_signal(victims, signal.SIGKILL)

    def mend(self, lab: Lab, target: str) -> None:
        """Nothing: the supervisor has."""


DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        KillActive(),
        StopActive(),
        CrashDaemons(),
        CutPublic(),
        CutPrivate(),
        KillReal(),
        KillLvsd(),
        UpgradePrograms(),
        ReloadConfiguration(),
        SynFlood(),
    )
}
FLOODS = (50, 100, 150)  # percent of the capacity, in the table of all drills


def is_shoal(pid: int) -> bool:
    """Whether a process is one of Shoal's own."""
    return any(part == "shoal" or part.startswith("shoal.") for part in namespaces.command_line(pid))


def out_of_service(
    journal: tuple[JournalLine, ...], *, router: str, virtual_server: str, real_server: str
) -> float | None:
    """When (Unix time) a router's dataplane stopped choosing a real server that it found down, or None.

    That is the first ``service.put`` of the virtual server after the ``real_server.down``.
    """
    down = False
    for line in journal:
        record = line.record
        if line.router != router or record.fields.get("virtual_server") != virtual_server:
            continue
        if record.event == "real_server.down" and record.fields.get("real_server") == real_server:
            down = True
        elif record.event == "service.put" and down:
            return line.at
    return None


def journal_since(lab: Lab, since: float) -> tuple[JournalLine, ...]:
    """What the routers noted since a moment (Unix time), merged in order of time."""
    lines = (line for name in lab.topology.routers for line in lab.router(name).journal() if line.at >= since)
    return tuple(sorted(lines, key=lambda line: line.at))


def find(name: str, *, percent: int | None = None, seconds: float | None = None) -> Drill:
    """The drill of that name; the syn-flood at ``percent`` of the capacity, for ``seconds``.

    Raises NotFoundError, or ConfigError when another drill is given what only that one takes.
    """
    if name not in DRILLS:
        raise NotFoundError(
            where="drill", problem=f"there is no drill {name!r}", fix=f"use one of {', '.join(DRILLS)}"
        )
    if percent is None and seconds is None:
        return DRILLS[name]
    if name != SynFlood.name:
        raise ConfigError(
            where=f"drill {name}",
            problem="it takes neither --percent nor --seconds",
            fix=f"leave them out, or use {SynFlood.name}",
        )
    return SynFlood(
        percent=FLOODS[1] if percent is None else percent, seconds=30.0 if seconds is None else seconds
    )


def every(*, percent: int | None = None, seconds: float | None = None) -> tuple[Drill, ...]:
    """All drills, the flood at each of its shares, for ``seconds``. Raises ConfigError for one share."""
    if percent is not None:
        raise ConfigError(
            where="--percent", problem="all means each share of the capacity", fix="leave it out"
        )
    floods = tuple(find(SynFlood.name, percent=percent, seconds=seconds) for percent in FLOODS)
    return (*(drill for drill in DRILLS.values() if drill.name != SynFlood.name), *floods)


def _rehearse(lab: Lab, drill: Drill) -> None:
    lab.wait_healthy()
    drill.rehearse(lab)
    lab.wait_healthy()


def run_once(
    lab: Lab,
    drill: Drill,
    *,
    chance: random.Random,
    interval: float,
    requests: bool = False,
    say: Say = silent,
) -> Run:
    """Run a drill once, on a healthy cluster, and wait until it is healthy again. Raises UnavailableError.

    ``interval`` (seconds) is the probe's; with ``requests`` the client also sends HTTP requests.
    """
    _rehearse(lab, drill)
    wanted = requests or drill.requests
    with watching(lab, interval=interval, requests=wanted, connections=drill.connections) as watch:
        time.sleep(_WARM + chance.uniform(0.0, _PHASE))
        target = drill.target(lab, chance)
        trigger = drill.prepare(lab, target)
        injected, began = time.monotonic(), time.time()
        trigger()
        say(f"{drill.name} hits {target}: {drill.summary}")
        time.sleep(drill.observe)
        journal = journal_since(lab, began)
        detected = drill.detected(lab, target=target, journal=journal)
        mended = time.monotonic()
        say(f"mending {target}, and waiting until the cluster is whole again")
        drill.mend(lab, target)
        lab.wait_healthy()
    return Run(
        target=target,
        vip=lab.topology.vip,
        injected=injected,
        began=began,
        mended=mended,
        detected=None if detected is None else injected + detected - began,
        observation=watch.observation,
        journal=journal,
        figures=drill.figures(watch.observation, journal),
    )


def run(
    lab: Lab, drill: Drill, *, repeat: int, interval: float, say: Say = silent, seed: int | None = None
) -> tuple[Run, ...]:
    """Run a drill several times. ``interval`` is the probe's, seconds."""
    chance = random.Random(seed)
    runs = []
    for number in range(1, repeat + 1):
        say(f"run {number} of {repeat}")
        runs.append(run_once(lab, drill, chance=chance, interval=interval, say=say))
    return tuple(runs)
