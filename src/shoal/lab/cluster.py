"""A whole cluster on one machine: build it, wait until it serves, say how it is, take it away."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shoal.errors import ConfigError, UnavailableError
from shoal.lab import namespaces, nodes
from shoal.lab.folder import LabFolder
from shoal.lab.router_api import RouterApi
from shoal.lab.texts import VIRTUAL_SERVERS, cluster_config
from shoal.lab.topology import Topology

HEALTHY_LIMIT = 20.0  # seconds; a cluster is ready in two
_POLL = 0.05
_HAND_OVER_LIMIT = 1.0  # seconds; two routers may change places while they are being asked

Say = Callable[[str], None]


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is up."""

    folder: LabFolder
    topology: Topology

    def router(self, name: str) -> RouterApi:
        """A router's API."""
        return RouterApi(name, self.folder.places(name))

    def active_routers(self) -> tuple[str, ...]:
        """The routers that say they are active."""
        return tuple(name for name in self.topology.routers if self.router(name).state() == "active")

    def active(self) -> str:
        """The one active router. Raises UnavailableError when there is none, or more than one, for a second."""
        deadline = time.monotonic() + _HAND_OVER_LIMIT
        while len(active := self.active_routers()) != 1 and time.monotonic() < deadline:
            time.sleep(_POLL)
        if len(active) != 1:
            raise UnavailableError(
                where=f"lab {self.topology.name}",
                problem=f"{len(active)} routers are active" + (f": {', '.join(active)}" if active else ""),
                fix="look at 'shoal lab status'",
            )
        return active[0]

    def processes(self, node: str) -> list[int]:
        """The processes of a node."""
        namespace = self.topology.namespace(node)
        return namespaces.processes_in([namespace])[namespace]

    def fetch(self, url: str, *, timeout: float = 2.0) -> str | None:
        """What the client gets from a URL; None when it gets nothing good."""
        command = ["curl", "-sS", "--fail", "--max-time", f"{timeout:g}", url]
        done = namespaces.run(self.topology.namespace("client"), command, timeout=timeout + 5)
        return done.stdout if done.returncode == 0 else None

    def ailments(self) -> tuple[str, ...]:
        """What keeps the cluster from being whole; empty when it is."""
        found = [*self._router_ailments(), *self._real_server_ailments()]
        if not found and self.fetch(self.topology.url) is None:
            found.append(f"{self.topology.url} does not answer the client")
        return tuple(found)

    def _router_ailments(self) -> Iterator[str]:
        states = {name: self.router(name).state() for name in self.topology.routers}
        if list(states.values()).count("active") != 1:
            yield "not exactly one active router"
        for name, state in states.items():
            if state not in ("active", "backup"):
                yield f"router {name} is {state}"
        for name in states:
            status = self.router(name).get("/v1/status") or {}
            heard = {peer["name"]: len(peer["paths_heard"]) for peer in status.get("peers", ())}
            for peer in self.topology.routers:
                if peer != name and heard.get(peer, 0) < len(self.topology.ports(peer)):
                    yield f"{name} does not hear {peer} on every path"

    def _real_server_ailments(self) -> Iterator[str]:
        for router in self.topology.routers:
            health = self.router(router).health()
            for virtual in VIRTUAL_SERVERS:
                for node in self.topology.real_servers:
                    now = health.get((virtual, node), "not known")
                    if now != "up":
                        yield f"{node} of {virtual} is {now} on {router}"

    def wait_healthy(self, *, limit: float = HEALTHY_LIMIT) -> float:
        """Wait until nothing ails the cluster; returns how long (seconds). Raises UnavailableError."""
        begun = time.monotonic()
        while ailments := self.ailments():
            if time.monotonic() - begun > limit:
                raise self._not_healthy(ailments, limit)
            time.sleep(_POLL)
        return time.monotonic() - begun

    def _not_healthy(self, ailments: tuple[str, ...], limit: float) -> UnavailableError:
        logs = "\n".join(
            f"  log of {node} ({self.folder.log(node)}):\n{nodes.log_tail(self.folder.log(node))}"
            for node in self.topology.routers
        )
        shown = ailments[:8] + ((f"and {len(ailments) - 8} more",) if len(ailments) > 8 else ())
        return UnavailableError(
            where=f"lab {self.topology.name}",
            problem=f"not healthy after {limit:g} s:\n"
            + "".join(f"    {ailment}\n" for ailment in shown)
            + logs,
            fix="read the logs above; 'shoal lab down' removes the lab",
        )

    def status(self) -> dict[str, Any]:
        """The lab in one document."""
        running = namespaces.processes_in([self.topology.namespace(node) for node in self.topology.nodes])
        return {
            "name": self.topology.name,
            "vip": str(self.topology.vip),
            "gateway": str(self.topology.gateway),
            "forward": str(self.topology.forward),
            "family": str(self.topology.family),
            "encap": str(self.topology.encap),
            "hook": str(self.topology.hook),
            "folder": str(self.folder.path),
            "nodes": list(self.topology.nodes),
            "routers": [self._router_status(name, running) for name in self.topology.routers],
            "real_servers": [self._real_server_status(name, running) for name in self.topology.real_servers],
        }

    def _router_status(self, name: str, running: dict[str, list[int]]) -> dict[str, Any]:
        status = self.router(name).get("/v1/status") or {}
        namespace = self.topology.namespace(name)
        return {
            "name": name,
            "state": status.get("state", "gone"),
            "namespace": namespace,
            "address": str(self.topology.address(name)),
            "addresses": status.get("addresses", []),
            "links": status.get("links", {}),
            "alarms": status.get("alarms", []),
            "processes": len(running.get(namespace, ())),
            "run_dir": str(self.folder.places(name).run),
        }

    def _real_server_status(self, name: str, running: dict[str, list[int]]) -> dict[str, Any]:
        namespace = self.topology.namespace(name)
        health = {router: self.router(router).health() for router in self.topology.routers}
        return {
            "name": name,
            "namespace": namespace,
            "address": str(self.topology.address(name)),
            "processes": len(running.get(namespace, ())),
            "health": {
                router: {virtual: state for (virtual, node), state in seen.items() if node == name}
                for router, seen in health.items()
            },
        }


def build(topology: Topology, *, say: Say = silent) -> Lab:
    """Create nodes, cables and real servers; no router runs yet. What a predecessor left is removed first."""
    folder = LabFolder(topology.name)
    namespaces.require_root()
    nodes.require_programs(topology)
    if (before := folder.read()) is not None:
        say(f"removing the lab {before.name!r} that is there")
        _remove(folder, before)
    _refuse_foreign(topology)
    folder.write(topology)
    folder.mount()
    say(f"creating {len(topology.nodes)} network namespaces and their cables")
    namespaces.add([topology.namespace(node) for node in topology.nodes])
    for node in topology.nodes:
        folder.node(node).mkdir(exist_ok=True)
        nodes.plug_in(topology, node)
    say(f"starting {_spelled(topology.real_servers)} (nginx and an echo each)")
    for node in topology.real_servers:
        nodes.start_real_server(folder, topology, node)
    folder.config.touch(mode=0o600)
    folder.config.write_text(cluster_config(topology, key=secrets.token_hex(16)))
    return Lab(folder, topology)


def up(topology: Topology, *, say: Say = silent) -> Lab:
    """Build a lab, start its routers and wait until the cluster is whole."""
    lab = build(topology, say=say)
    say(f"starting {_spelled(topology.routers)} (shoal run)")
    for node in topology.routers:
        nodes.start_router(lab.folder, topology, node)
    took = lab.wait_healthy()
    say(
        f"whole after {took:.1f} s: {lab.active()} is active, every real server is up, {topology.vip} answers"
    )
    return lab


def _spelled(nodes_of_a_kind: Sequence[str]) -> str:
    """``rs1 to rs3``."""
    first, last = nodes_of_a_kind[0], nodes_of_a_kind[-1]
    return first if first == last else f"{first} to {last}"


def down(name: str) -> bool:
    """Remove a lab and all that is left of it; False when there was none."""
    namespaces.require_root()
    folder = LabFolder(name)
    topology = folder.read()
    if topology is not None:
        _remove(folder, topology)
    return topology is not None


def find(name: str) -> Lab:
    """The lab of that name, which is up. Raises NotFoundError."""
    folder = LabFolder(name)
    return Lab(folder, folder.topology())


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lab for one command that changes it."""
    namespaces.require_root()
    with LabFolder(name).lock():
        yield


def _remove(folder: LabFolder, topology: Topology) -> None:
    names = [topology.namespace(node) for node in topology.nodes]
    namespaces.end_processes(names)
    namespaces.remove_all(names)
    folder.remove()


def _refuse_foreign(topology: Topology) -> None:
    for node in topology.nodes:
        namespace = topology.namespace(node)
        if namespaces.exists(namespace):
            raise ConfigError(
                where="--name",
                problem=f"the network namespace {namespace} exists and is not a lab's",
                fix="use another --name",
            )
