"""Run the watchers around something that happens, and collect what they saw."""

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.errors import UnavailableError
from shoal.lab import namespaces
from shoal.lab.cluster import Lab
from shoal.lab.evidence import Observation
from shoal.lab.measure import questions_from, samples_from
from shoal.lab.networks import Bridge
from shoal.lab.nodes import environment
from shoal.lab.texts import ECHO_PORT, HTTP_PORT
from shoal.lab.topology import SWITCH

CONNECTIONS = 20
_LINE_INTERVAL = 0.05
_QUESTION_INTERVAL = 0.005
_REQUEST_INTERVAL = 0.01
_FIRST_SENDER_HOST = 240
_START_LIMIT = 5.0
_END_LIMIT = 10.0


@dataclass(slots=True)
class Watch:
    """Watchers at work; ``observation`` is there once the ``watching`` block has ended."""

    documents: dict[str, Any] = field(default_factory=dict)

    @property
    def observation(self) -> Observation:
        """What they saw."""
        return Observation(
            samples=samples_from(self.documents["probe"]),
            questions=questions_from(self.documents["owners"]),
            connections=tuple(self.documents["connections"]),
            announcements=tuple((at, mac, address) for at, mac, address in self.documents["announcements"]),
            requests=tuple((row[0], row[1], row[2], row[3]) for row in self.documents.get("requests", ())),
        )


def watcher_commands(
    lab: Lab, *, interval: float, requests: bool, connections: int
) -> dict[str, tuple[str, list[str]]]:
    """Node and arguments of each watcher, by name."""
    topology = lab.topology
    vip = ["--address", str(topology.vip)]
    line = ["--count", str(connections), "--interval", str(_LINE_INTERVAL * connections / CONNECTIONS)]
    first_sender = topology.networks.host(Bridge.PUBLIC, _FIRST_SENDER_HOST).ip
    asker = ["--interface", str(Bridge.PUBLIC), *vip, "--first-sender", str(first_sender)]
    commands = {
        "probe": ("client", [*vip, "--port", str(ECHO_PORT), "--interval", str(interval)]),
        "connections": ("client", [*vip, "--port", str(ECHO_PORT), *line]),
        "owners": (SWITCH, [*asker, "--interval", str(_QUESTION_INTERVAL)]),
        "announcements": ("client", ["--interface", lab.topology.ports("client")[0].interface]),
    }
    if requests:
        commands["requests"] = (
            "client",
            [*vip, "--port", str(HTTP_PORT), "--interval", str(_REQUEST_INTERVAL)],
        )
    return commands


@contextmanager
def watching(
    lab: Lab, *, interval: float = 0.002, requests: bool = False, connections: int = CONNECTIONS
) -> Iterator[Watch]:
    """Watch the client's side while the block runs; ``interval`` (seconds) is the probe's.

    However many ``connections`` there are, together they exchange as many lines. Raises UnavailableError when
    a watcher cannot start or does not end.
    """
    watch = Watch()
    commands = watcher_commands(lab, interval=interval, requests=requests, connections=connections)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watch-", dir=lab.folder.path)))
        running = {
            name: stack.enter_context(start(lab, name, node=node, arguments=arguments, folder=folder))
            for name, (node, arguments) in commands.items()
        }
        try:
            for name, process in running.items():
                await_ready(name, process)
            yield watch
        finally:
            for process in running.values():
                if process.stdin is not None:
                    process.stdin.close()
            _await_end(running)
        for name in running:
            watch.documents[name] = json.loads((folder / f"{name}.json").read_text())


def start(
    lab: Lab, name: str, *, node: str, arguments: Sequence[str], folder: Path
) -> "subprocess.Popen[bytes]":
    """Start one of the lab's measuring programs in a node; its result goes to NAME.json in the folder."""
    command = [
        sys.executable,
        "-m",
        f"shoal.lab.{name}",
        *arguments,
        "--output",
        str(folder / f"{name}.json"),
    ]
    return subprocess.Popen(
        namespaces.enter(lab.topology.namespace(node), command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )


def await_ready(name: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a program says that it is ready. Raises UnavailableError with its complaint."""
    assert process.stdout is not None
    assert process.stderr is not None
    readable, _, _ = select.select([process.stdout], [], [], _START_LIMIT)
    if not readable or not process.stdout.readline():
        process.kill()
        complaint = process.stderr.read().decode(errors="replace").strip()
        raise UnavailableError(
            where=f"watcher {name}",
            problem=complaint or f"not ready within {_START_LIMIT:g} s",
            fix="see 'shoal lab status'",
        )


def _await_end(running: dict[str, "subprocess.Popen[bytes]"]) -> None:
    for name, process in running.items():
        try:
            process.wait(_END_LIMIT)
        except subprocess.TimeoutExpired as error:
            for other in running.values():
                other.kill()
            raise UnavailableError(
                where=f"watcher {name}", problem=f"did not end within {_END_LIMIT:g} s"
            ) from error
