"""A lab's folder under /run: lab.json, written before anything is created, and all that the lab keeps."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import NotFoundError, UnavailableError
from shoal.lab.networks import Family
from shoal.lab.topology import Topology
from shoal.model import Encapsulation, ForwardingMethod, Hook
from shoal.system.places import Places

ROOT = Path("/run/shoal-lab")


@dataclass(frozen=True, slots=True)
class LabFolder:
    """Where the lab called ``name`` keeps things."""

    name: str

    @property
    def path(self) -> Path:
        """The folder itself."""
        return ROOT / self.name

    @property
    def marker(self) -> Path:
        """lab.json: while it is there, something of the lab may be there."""
        return self.path / "lab.json"

    @property
    def config(self) -> Path:
        """The cluster's configuration."""
        return self.path / "config.toml"

    @property
    def bpffs(self) -> Path:
        """The bpffs that holds every router's pins."""
        return self.path / "bpf"

    @property
    def bulk(self) -> Path:
        """A large file that every real server offers, once somebody has made it."""
        return self.path / "bulk"

    def node(self, node: str) -> Path:
        """The folder of a node: its log, its pages, its state."""
        return self.path / node

    def log(self, node: str) -> Path:
        """What the daemons of a node say."""
        return self.node(node) / "log"

    def places(self, router: str) -> Places:
        """A router's own places."""
        return Places(
            run=self.node(router) / "run", state=self.node(router) / "state", pins=self.bpffs / router
        )

    def write(self, topology: Topology) -> None:
        """Write lab.json: from now on ``down`` knows what to remove."""
        self.path.mkdir(parents=True, exist_ok=True)
        plan = {
            "name": topology.name,
            "router_count": topology.router_count,
            "real_server_count": topology.real_server_count,
            "forward": topology.forward,
            "hook": topology.hook,
            "family": topology.family,
            "encap": topology.encap,
        }
        draft = self.marker.with_suffix(".new")
        draft.write_text(json.dumps(plan, indent=2) + "\n")
        draft.replace(self.marker)

    def read(self) -> Topology | None:
        """The lab that is (or was half) built here, or None."""
        try:
            plan = json.loads(self.marker.read_text())
        except FileNotFoundError:
            return None
        return Topology(
            name=plan["name"],
            router_count=plan["router_count"],
            real_server_count=plan["real_server_count"],
            forward=ForwardingMethod(plan["forward"]),
            hook=Hook(plan["hook"]),
            family=Family(plan.get("family", Family.IPV4)),  # an older lab.json has none
            encap=Encapsulation(plan.get("encap", Encapsulation.IPIP)),
        )

    def topology(self) -> Topology:
        """The lab that is built here. Raises NotFoundError."""
        topology = self.read()
        if topology is None:
            raise NotFoundError(
                where=f"lab {self.name}", problem="it is not up", fix="run 'shoal lab up' first"
            )
        return topology

    def mount(self) -> None:
        """Mount the bpffs. A mount of its own, so that unmounting it lets every pin go."""
        self.bpffs.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "bpf", "bpf", str(self.bpffs)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise UnavailableError(
                where=str(self.bpffs),
                problem=f"no bpffs: {done.stderr.strip()}",
                fix="the kernel needs CONFIG_BPF_SYSCALL; a container needs CAP_SYS_ADMIN",
            )

    def remove(self) -> None:
        """Unmount and delete everything."""
        while self.bpffs.is_mount():
            subprocess.run(["umount", "--lazy", str(self.bpffs)], capture_output=True, check=True)
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # another lab is still there
            ROOT.rmdir()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lab for one command. Raises UnavailableError while another command has it."""
        descriptor = _open_folder(self.path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise UnavailableError(
                where=f"lab {self.name}",
                problem="another lab command is at work on it",
                fix="wait until it has ended, or use another --name",
            ) from error
        finally:
            os.close(descriptor)
            if not self.marker.exists():
                self._remove_empty()

    def _remove_empty(self) -> None:
        with contextlib.suppress(OSError):  # not empty, or another lab is still there
            self.path.rmdir()
            ROOT.rmdir()


def _open_folder(path: Path) -> int:
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
