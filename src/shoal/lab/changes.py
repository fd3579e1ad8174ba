"""Drills in which nothing breaks: what an operator does while clients are served, many times over."""

import signal
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal.errors import UnavailableError
from shoal.lab import namespaces
from shoal.lab.cluster import Lab
from shoal.lab.drill import Drill, Trigger
from shoal.lab.evidence import JournalLine, Observation
from shoal.lab.router_api import RouterApi
from shoal.lab.texts import UNCHANGED, VIRTUAL_SERVERS, Variation, cluster_config
from shoal.lab.topology import Topology

_LVSD = "shoal-lvsd"
_POLL = 0.002
_UPGRADE_LIMIT = 30.0  # seconds; a supervisor waits longer before each restart of many in a row
_SCHEDULERS = (
    ("wrr",),
    ("lc",),
    ("sh", "sh-fallback"),
    ("wlc",),
    ("mh", "mh-fallback"),
    ("rr",),
    ("sed",),
    ("twos",),
    ("nq",),
)
_HEAVIEST = 4
_QUIESCES, _TAKES_OUT = 1, 2  # of three changes
_HEALTH_LIMIT = 5.0  # seconds
_EFFECT_LIMIT = 2.0  # seconds


def variation(topology: Topology, number: int) -> Variation:
    """The ``number``-th change: another scheduler, other weights; in turn one real server is quiesced, one taken out.

    One that takes new connections is always left. Schedulers that hash fall back to it: without that they refuse
    whom the hash sends to a real server that takes none, as in IPVS.
    """
    names = topology.real_servers
    left_out = {names[number // 3 % len(names)]} if number % 3 == _TAKES_OUT and len(names) > 1 else set()
    staying = [name for name in names if name not in left_out]
    weights = {name: 1 + (number + 2 * index) % _HEAVIEST for index, name in enumerate(staying)}
    if number % 3 == _QUIESCES and len(names) > 1:
        weights[names[(number // 3 + 1) % len(names)]] = 0
    scheduler, *flags = _SCHEDULERS[number % len(_SCHEDULERS)]
    return Variation(scheduler=scheduler, flags=tuple(flags), weights=weights, left_out=frozenset(left_out))


class ReloadConfiguration(Drill):
    """The configuration changes, again and again."""

    name = "reload"
    summary = "the configuration of every router changed many times: scheduler, weights, real servers"
    observe = 1.0
    requests = True

    def __init__(self, *, changes: int = 50) -> None:
        self._changes = changes
        self._refused: list[str] = []
        self._serial = 1

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Look up what the configuration is now."""
        self._refused.clear()
        key = self._read(lab)["cluster"]["key"]

        def trigger() -> None:
            for number in range(self._changes):
                if number % 3 in (_QUIESCES, _TAKES_OUT):
                    _await_health(lab)
                self._put_in_force(lab, key=key, change=variation(lab.topology, number))

        return trigger

    def mend(self, lab: Lab, target: str) -> None:
        """Put the lab's own configuration in force again."""
        self._put_in_force(lab, key=self._read(lab)["cluster"]["key"], change=UNCHANGED)

    def figures(self, observation: Observation, journal: tuple[JournalLine, ...]) -> Mapping[str, float]:
        """How many of the changes a router refused."""
        return {"changes": self._changes, "changes_refused": len(self._refused)}

    def _read(self, lab: Lab) -> dict[str, Any]:
        document = tomllib.loads(lab.folder.config.read_text())
        self._serial = document["serial"]
        return document

    def _put_in_force(self, lab: Lab, *, key: str, change: Variation) -> None:
        self._serial += 1
        text = cluster_config(lab.topology, key=key, serial=self._serial, variation=change)
        _replace(lab.folder.config, text)
        for name in lab.topology.routers:
            router = lab.router(name)
            after = router.last_event()
            if problem := router.reload() or _not_in_force(router, after=after):
                self._refused.append(f"{name}, serial {self._serial}: {problem}")


def _await_health(lab: Lab) -> None:
    """As a careful operator does: before a real server goes, wait until those that came are found up."""
    deadline = time.monotonic() + _HEALTH_LIMIT
    for name in lab.topology.routers:
        while set(lab.router(name).health().values()) != {"up"} and time.monotonic() < deadline:
            time.sleep(_POLL)


def _not_in_force(router: RouterApi, *, after: int) -> str:
    """Empty once the router has put every virtual server anew into its dataplane; otherwise what is missing.

    ``after`` is the last entry of its journal before it was told to.
    """
    deadline = time.monotonic() + _EFFECT_LIMIT
    missing: set[str] = set(VIRTUAL_SERVERS)
    while time.monotonic() < deadline:
        events = [each for each in router.events(after=after) if each["source"] == "lvsd"]
        loaded = [each["seq"] for each in events if each["event"] == "config.loaded"]
        missing = set(VIRTUAL_SERVERS) - {
            each["fields"]["virtual_server"]
            for each in events
            if each["event"] == "service.put" and loaded and each["seq"] > loaded[0]
        }
        if not missing:
            return ""
        time.sleep(_POLL)
    return f"not changed within {_EFFECT_LIMIT:g} s: {', '.join(sorted(missing))}"


def _replace(path: Path, text: str) -> None:
    """As an operator's editor does; the file holds the cluster's key."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


class UpgradePrograms(Drill):
    """A new lvsd loads its programs and puts them where the old ones are."""

    name = "upgrade"
    summary = "lvsd of every router ended and started several times: new programs replace those at work"
    observe = 1.0
    requests = True

    def __init__(self, *, rounds: int = 3) -> None:
        self._rounds = rounds
        self._left = 0
        self._emptied = 0

    def prepare(self, lab: Lab, target: str) -> Trigger:
        """Nothing to make ready: whoever is lvsd then is found then."""
        self._left = self._emptied = 0

        def trigger() -> None:
            for _ in range(self._rounds):
                for name in lab.topology.routers:
                    self._upgrade(lab, name)

        return trigger

    def mend(self, lab: Lab, target: str) -> None:
        """Nothing: the new programs are as good as the old ones."""

    def figures(self, observation: Observation, journal: tuple[JournalLine, ...]) -> Mapping[str, float]:
        """How many programs of a predecessor were still at work, and how many places were seen empty."""
        return {"upgrades": self._rounds, "programs_left": self._left, "places_emptied": self._emptied}

    def _upgrade(self, lab: Lab, router: str) -> None:
        """End a router's lvsd and wait until its successor's programs are at work and its API answers.

        Raises UnavailableError when there is nothing to replace.
        """
        pins = lab.folder.places(router).pins
        before = at_work(pins)
        if not before:
            raise UnavailableError(
                where=router, problem="no program is at work", fix="see 'shoal lab status'"
            )
        old = [pid for pid in lab.processes(router) if namespaces.process_name(pid) == _LVSD]
        namespaces.send_signal(old, signal.SIGTERM)
        deadline = time.monotonic() + _UPGRADE_LIMIT
        emptied: set[str] = set()
        while left := self._of_before(before, now := at_work(pins)):
            emptied |= before.keys() - now.keys()
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        self._left += len(left)
        self._emptied += len(emptied)
        while lab.router(router).state() == "gone" and time.monotonic() < deadline:
            time.sleep(_POLL)

    @staticmethod
    def _of_before(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
        return [place for place, program in now.items() if before.get(place) == program]


def at_work(pins: Path) -> dict[str, int]:
    """The kernel's number of each program that packets meet, by link and by tail call's place."""
    # here, because it needs libbpf, which the rest of the lab does not
    from shoal.dataplane.ebpf.installed import attached_programs, placed_programs

    return attached_programs(pins) | placed_programs(pins)
