"""Where a running Shoal keeps things. One instance has one of each; the lab gives each router its own."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """``run`` goes with a reboot, ``state`` stays, ``pins`` is a folder on a bpffs."""

    run: Path = Path("/run/shoal")
    state: Path = Path("/var/lib/shoal")
    pins: Path = Path("/sys/fs/bpf/shoal")

    @property
    def ipc_socket(self) -> Path:
        """Where ``lvsd`` listens for its siblings (Unix SEQPACKET)."""
        return self.run / "ipc.sock"

    @property
    def api_socket(self) -> Path:
        """Where ``lvsd`` serves the control API (HTTP over a Unix stream socket)."""
        return self.run / "api.sock"

    @property
    def config(self) -> Path:
        """The configuration in force: a checked copy of the operator's file, which the children read."""
        return self.run / "config.toml"

    @property
    def journal(self) -> Path:
        """The journal, one JSON object a line."""
        return self.state / "journal.jsonl"

    @property
    def health(self) -> Path:
        """Last known health, for a nanny that starts again."""
        return self.state / "health.json"

    @property
    def drains(self) -> Path:
        """The real servers that the operator drains, for an lvsd that starts again."""
        return self.state / "drains.json"

    @property
    def realserver(self) -> Path:
        """What ``shoal realserver apply`` found before it changed it."""
        return self.run / "realserver.json"

    @property
    def realserver_pins(self) -> Path:
        """The program that opens tunnels' packets on a real server; beside a router's own pins, not among them."""
        return self.pins.with_name(f"{self.pins.name}-realserver")

    def lock(self, child: str) -> Path:
        """The lock a process holds while it lives."""
        return self.run / f"{child}.lock"

    def arguments(self) -> list[str]:
        """The command-line arguments that give another process the same places."""
        return ["--run-dir", str(self.run), "--state-dir", str(self.state), "--bpf-dir", str(self.pins)]
