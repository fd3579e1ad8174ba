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
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The configuration and the addresses of one family. ``networks`` has those of the paths, before the number."""

    version: int
    config: str
    vip: str
    gateway: str
    networks: tuple[str, str]
    prefix_length: int

    def fixed(self, number: int) -> tuple[str, str]:
        """A router's addresses on both paths."""
        public, private = (f"{network}{number}/{self.prefix_length}" for network in self.networks)
        return public, private


IPV4 = Wiring(
    version=4,
    config=CONFIG,
    vip=VIP,
    gateway=GATEWAY,
    networks=("192.0.2.", "10.0.1."),
    prefix_length=24,
)
IPV6 = Wiring(
    version=6,
    config=CONFIG.replace("192.0.2.10:80", "[2001:db8::10]:80")
    .replace("10.0.1.21:80", "[fd00:1::21]:80")
    .replace("10.0.1.1/24", "fd00:1::1/64")
    .replace("192.0.2.", "2001:db8::")
    .replace("10.0.1.", "fd00:1::"),
    vip="2001:db8::10/128",
    gateway="fd00:1::1/64",
    networks=("2001:db8::", "fd00:1::"),
    prefix_length=64,
)


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

    def __init__(self, name: str, namespace: str, folder: Path, wiring: Wiring) -> None:
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
        self.config.write_text(wiring.config)
        self._wiring = wiring
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
        """The addresses on the router's paths, of its family, without link-local ones."""
        family = f"-{self._wiring.version}"
        lines = ip("-n", self.namespace, family, "-o", "address", "show").splitlines()
        return {line.split()[3] for line in lines if " lo " not in line and " fe80:" not in line}

    def owns(self) -> bool:
        """Whether the floating addresses are configured here."""
        return {self._wiring.vip, self._wiring.gateway} <= self.addresses()

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

    def __init__(self, folder: Path, wiring: Wiring) -> None:
        self.wiring = wiring
        self.mark = f"sp-{secrets.token_hex(3)}"
        self.switch = f"{self.mark}-sw"
        self.nodes = {
            name: Node(name, f"{self.mark}-{name}", folder / name, wiring) for name in ("lb1", "lb2")
        }

    def build(self) -> None:
        """Make the namespaces, two bridges and the cables."""
        ip("netns", "add", self.switch)
        for path in PATHS:
            ip("-n", self.switch, "link", "add", path, "up", "type", "bridge")
        for number, node in enumerate(self.nodes.values(), 11):
            ip("netns", "add", node.namespace)
            public, private = self.wiring.fixed(number)
            for interface, path, address in (("pub", "public", public), ("priv", "private", private)):
                port = f"{node.name}-{interface}"
                peer = ["type", "veth", "peer", "name", interface, "netns", node.namespace]
                ip("-n", self.switch, "link", "add", port, "up", "master", path, *peer)
                ip("-n", node.namespace, "address", "add", address, "dev", interface, *self._nodad())
                ip("-n", node.namespace, "link", "set", interface, "up")

    def _nodad(self) -> tuple[str, ...]:
        return ("nodad",) if self.wiring.version == 6 else ()

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
def pulse_lab(folder: Path, wiring: Wiring = IPV4) -> Iterator[Lab]:
    """A lab that is gone afterwards, whatever happens."""
    lab = Lab(folder, wiring)
    try:
        lab.build()
        yield lab
    finally:
        lab.close()
