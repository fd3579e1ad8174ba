"""A router with the eBPF dataplane between a client's and a server's namespace, for tests with real sockets."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.dataplane.ebpf.links import Links
from shoal.model import Hook
from support.namespaces import Wires, bpffs, inside, run, wires

DEADLINE = 10.0
WAYS = ("tcx", "clsact", "xdp")
"""Of attaching the programs."""


@dataclass
class Site:
    """A router with its dataplane, and the namespaces around it."""

    wires: Wires
    dataplane: EbpfDataplane
    pins: Path
    hook: Hook

    def reopen(self, *, sees_marks: bool = False) -> None:
        """What a restarted lvsd does: let go, load again, take over."""
        self.dataplane.close()
        self.dataplane = open_in(self.wires.router, self.pins, self.hook, sees_marks=sees_marks)


def open_in(router: str, pins: Path, hook: Hook, *, sees_marks: bool = False) -> EbpfDataplane:
    """Load the dataplane and attach it to both interfaces of the router."""
    with inside(router):
        dataplane = EbpfDataplane.open(pins, max_connections=4096)
        dataplane.attach(find_interfaces(["eth0", "eth1"]), hook, sees_marks=sees_marks)
    return dataplane


@contextlib.contextmanager
def site_by(way: str, folder: Path) -> Iterator[Site]:
    """A site whose programs are attached in one of ``WAYS``; its bpffs is in ``folder``."""
    hook = Hook.XDP if way == "xdp" else Hook.AUTO
    original = Links.__init__

    def without_tcx(self: Links, *given: object) -> None:
        original(self, *given, use_tcx=False)  # type: ignore[arg-type]

    attaching = (
        mock.patch.object(Links, "__init__", without_tcx) if way == "clsact" else contextlib.nullcontext()
    )
    with attaching, wires("sd") as names, bpffs(folder) as mounted:
        if way == "xdp":  # frames redirected to a veth need its peer's NAPI
            for name in (names.client, names.server):
                run(f"ip netns exec {name} ethtool -K eth0 gro on")
        pins = mounted / "pins"
        site = Site(names, open_in(names.router, pins, hook), pins, hook)
        try:
            yield site
        finally:
            with inside(names.router):
                site.dataplane.remove()


def listen(site: Site, port: int) -> socket.socket:
    """A TCP listener on every address of the server namespace."""
    with inside(site.wires.server):
        sock = socket.create_server(("0.0.0.0", port), backlog=128)
    sock.settimeout(DEADLINE)
    return sock
