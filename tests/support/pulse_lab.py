"""Two routers in network namespaces on two bridges, each running the real pulse process."""

import contextlib
import os
import secrets
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from shoal.ipc.messages import FailoverReply, FailoverRequest, Message, Record, RoleReport
from shoal.system.channel import Channel, listen
from shoal.system.lease import PIN_NAME
from support.pulse_with_lease_file import LEASE_BYTES

SUPPORT = Path(__file__).parent
PATHS = ("public", "private")
VIP, GATEWAY = "192.0.2.10/32", "10.0.1.1/24"
CONFIG = """
[cluster]
name = "pulse-test"
key = "a key of the test, long enough"
[paths.public]
interface = "pub"
[paths.private]
interface = "priv"
gateway = "10.0.1.1/24"
[[routers]]
name = "lb1"
priority = 110
public = "192.0.2.11"
private = "10.0.1.11"
[[routers]]
name = "lb2"
public = "192.0.2.12"
private = "10.0.1.12"
[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
real_servers = ["10.0.1.21:80"]
"""


def ip(*arguments: str) -> str:
    """Run ip(8)."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def wait_for(what: str, condition: Callable[[], bool], *, timeout: float = 10.0) -> float:
    """Poll until it holds; the seconds that it took. Fails loudly when it never does."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.002)
    return time.monotonic() - began


class Node:
    """One router: its namespace, its pulse process, and the test's end of its line to lvsd."""

    def __init__(self, name: str, namespace: str, folder: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.reports: list[RoleReport] = []
        self.records: list[Record] = []
        self.replies: list[FailoverReply] = []
        self.connections = 0
        self._channel: Channel | None = None
        for part in ("run", "state", "pins"):
            (folder / part).mkdir(parents=True)
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG)
        self.install_dataplane()
        self._listener = listen(folder / "run" / "ipc.sock")

    def install_dataplane(self) -> None:
        """Put a lease where the dataplane would pin one."""
        pin = self.folder / "pins" / PIN_NAME
        pin.parent.mkdir(exist_ok=True)
        pin.write_bytes(bytes(LEASE_BYTES))

    def remove_dataplane(self) -> None:
        """Take the lease away."""
        (self.folder / "pins" / PIN_NAME).unlink()

    def lease(self) -> tuple[int, int, int]:
        """Lease end, hand-over end (CLOCK_BOOTTIME ns) and number of addresses."""
        found = struct.unpack_from("=QQI", (self.folder / "pins" / PIN_NAME).read_bytes())
        return found[0], found[1], found[2]

    def start(self, *, realtime_priority: int = 0) -> None:
        """Start pulse."""
        run, state, pins = (str(self.folder / part) for part in ("run", "state", "pins"))
        command = [
            "ip",
            "netns",
            "exec",
            self.namespace,
            sys.executable,
            "-m",
            "support.pulse_with_lease_file",
        ]
        command += [
            "--config",
            str(self.config),
            "--router",
            self.name,
            "--run-dir",
            run,
            "--state-dir",
            state,
        ]
        command += ["--bpf-dir", pins, "--realtime-priority", str(realtime_priority)]
        paths = os.pathsep.join([str(SUPPORT.parent), str(SUPPORT.parent.parent / "src")])
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})

    def signal(self, number: signal.Signals) -> None:
        """Signal pulse."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait until pulse has ended; its exit status."""
        assert self.process is not None
        return self.process.wait(timeout=10)

    def addresses(self) -> set[str]:
        """The IPv4 addresses on the router's paths."""
        lines = ip("-n", self.namespace, "-4", "-o", "address", "show").splitlines()
        return {line.split()[3] for line in lines if " lo " not in line}

    def owns(self) -> bool:
        """Whether the floating addresses are configured here."""
        return {VIP, GATEWAY} <= self.addresses()

    @property
    def role(self) -> RoleReport | None:
        """The latest report."""
        self.listen()
        return self.reports[-1] if self.reports else None

    def is_in(self, state: str) -> bool:
        """Whether the latest report says so."""
        role = self.role
        return role is not None and role.state == state

    def events(self, event: str) -> list[Record]:
        """The records of one event."""
        self.listen()
        return [record for record in self.records if record.event == event]

    def ask(self, message: Message) -> None:
        """Send a request as lvsd does."""
        assert self._channel is not None
        self._channel.send(message)

    def failover(self, request: int, to: str = "") -> FailoverReply:
        """Ask for a hand-over; the reply."""
        self.listen()
        self.ask(FailoverRequest(id=request, to=to))
        wait_for("a reply", lambda: self.listen() and any(reply.id == request for reply in self.replies))
        return self.replies[-1]

    def hang_up(self) -> None:
        """lvsd goes away for a moment."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def listen(self) -> bool:
        """Take in what pulse says."""
        if self._channel is None:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return True
            self._channel, self.connections = Channel(sock), self.connections + 1
        messages = self._channel.receive()
        if messages is None:
            self.hang_up()
            return True
        for message in messages:
            if isinstance(message, RoleReport):
                self.reports.append(message)
            elif isinstance(message, Record):
                self.records.append(message)
            elif isinstance(message, FailoverReply):
                self.replies.append(message)
        return True

    def close(self) -> None:
        """End what runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=10)
        self.hang_up()
        self._listener.close()


class Lab:
    """Switch and routers."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"sp-{secrets.token_hex(3)}"
        self.switch = f"{self.mark}-sw"
        self.nodes = {name: Node(name, f"{self.mark}-{name}", folder / name) for name in ("lb1", "lb2")}

    def build(self) -> None:
        """Make the namespaces, two bridges and the cables."""
        ip("netns", "add", self.switch)
        for path in PATHS:
            ip("-n", self.switch, "link", "add", path, "up", "type", "bridge")
        for number, node in enumerate(self.nodes.values(), 11):
            ip("netns", "add", node.namespace)
            for interface, path, address in (("pub", "public", "192.0.2"), ("priv", "private", "10.0.1")):
                port = f"{node.name}-{interface}"
                peer = ["type", "veth", "peer", "name", interface, "netns", node.namespace]
                ip("-n", self.switch, "link", "add", port, "up", "master", path, *peer)
                ip("-n", node.namespace, "address", "add", f"{address}.{number}/24", "dev", interface)
                ip("-n", node.namespace, "link", "set", interface, "up")

    def cable(self, node: str, interface: str, state: str) -> None:
        """Plug (``up``) or pull (``down``) a cable at the switch."""
        ip("-n", self.switch, "link", "set", f"{node}-{interface}", state)

    def close(self) -> None:
        """Remove everything."""
        for node in self.nodes.values():
            node.close()
        for namespace in (*(node.namespace for node in self.nodes.values()), self.switch):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


@contextlib.contextmanager
def pulse_lab(folder: Path) -> Iterator[Lab]:
    """A lab that is gone afterwards, whatever happens."""
    lab = Lab(folder)
    try:
        lab.build()
        yield lab
    finally:
        lab.close()
