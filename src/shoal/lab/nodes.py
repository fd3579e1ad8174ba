"""What runs on the lab's nodes: Shoal on the routers, nginx and an echo on the real servers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import shoal
from shoal.errors import UnavailableError
from shoal.lab import namespaces
from shoal.lab.folder import LabFolder
from shoal.lab.texts import DNS_PORT, ECHO_PORT, nginx_config, page
from shoal.lab.topology import (
    SWITCH,
    Topology,
    address_commands,
    cable_commands,
    link_commands,
    node_commands,
    plug_commands,
    switch_commands,
)
from shoal.model import Hook

_SMALL_FILE = 1024  # bytes
BULK = "bulk"


def require_programs(topology: Topology) -> None:
    """Raise UnavailableError naming the programs that a lab needs and this machine lacks."""
    needed = [
        "ip",
        "bridge",
        "nsenter",
        "setsid",
        "nginx",
        "curl",
        *(["ethtool"] if topology.hook is Hook.XDP else []),
    ]
    missing = [program for program in needed if shutil.which(program, path=_path()) is None]
    if missing:
        raise UnavailableError(
            where="lab", problem=f"not installed: {', '.join(missing)}", fix="run script/bootstrap"
        )


def plug_in(topology: Topology, node: str) -> None:
    """Give a node, whose namespace exists, its cables and addresses."""
    if node == SWITCH:
        namespaces.batch(switch_commands(), namespace=topology.namespace(SWITCH))
        return
    namespaces.batch(cable_commands(topology, node))
    namespaces.batch(node_commands(topology, node), namespace=topology.namespace(node))
    switch, ports = topology.namespace(SWITCH), topology.ports(node)
    namespaces.batch(plug_commands(ports), namespace=switch)
    namespaces.batch(address_commands(ports), namespace=switch, program="bridge")
    if topology.hook is Hook.XDP and node in topology.routers:
        _accept_redirected_frames(topology, node)


def unplug(topology: Topology, node: str) -> None:
    """Take a node's cables out of the switch at once; deleting the namespace alone does it later."""
    lines = [f"link del {port.switch_port}" for port in topology.ports(node)]
    namespaces.batch(lines, namespace=topology.namespace(SWITCH))


def mend_cables(topology: Topology, node: str) -> None:
    """Make every cable of a node whole again, at the switch's end."""
    namespaces.batch(link_commands(topology.ports(node), up=True), namespace=topology.namespace(SWITCH))


class CableCutter:
    """An ``ip`` that sits in the switch and waits: cutting a node's cables then takes microseconds."""

    def __init__(self, topology: Topology, node: str, *, paths: tuple[str, ...]) -> None:
        ports = [port for port in topology.ports(node) if port.bridge.path in paths]
        self._lines = "".join(f"{line}\n" for line in link_commands(ports, up=False))
        self._ip = subprocess.Popen(
            ["ip", "-n", topology.namespace(SWITCH), "-batch", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say("link show dev lo\n")
        assert self._ip.stdout is not None
        self._ip.stdout.readline()  # its answer: it is there, and in the switch's namespace

    def cut(self) -> None:
        """Cut now."""
        self._say(self._lines)

    def close(self) -> None:
        """Wait until it is done. Raises UnavailableError when ip refused."""
        self._ip.communicate()
        if self._ip.returncode != 0:
            raise UnavailableError(where="lab, the switch", problem="ip could not cut the cables")

    def _say(self, lines: str) -> None:
        assert self._ip.stdin is not None
        self._ip.stdin.write(lines)
        self._ip.stdin.flush()


def _accept_redirected_frames(topology: Topology, node: str) -> None:
    """A veth takes frames that XDP redirects to its peer only when it has NAPI, which GRO turns on."""
    for port in topology.ports(node):
        command = ["ethtool", "-K", port.switch_port, "gro", "on"]
        namespaces.run(topology.namespace(SWITCH), command)


def start_router(folder: LabFolder, topology: Topology, node: str) -> None:
    """Start Shoal on a router: exactly what ``shoal run`` starts anywhere."""
    places = folder.places(node)
    for path in (places.run, places.state):
        path.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "shoal.cli", "run", "-c", str(folder.config), "--router", node]
    command += places.arguments()
    namespaces.start(topology.namespace(node), command, log=folder.log(node), environment=environment())


def start_real_server(folder: LabFolder, topology: Topology, node: str) -> None:
    """Start nginx and the echo on a real server. One that holds the VIP has it first, and echoes there too."""
    home = folder.node(node)
    (home / "www").mkdir(parents=True, exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    (home / "www" / "index.html").write_text(page(node))
    (home / "www" / "1k").write_bytes(b"x" * _SMALL_FILE)
    (home / "www" / BULK).unlink(missing_ok=True)  # one that runs again has it already
    (home / "www" / BULK).symlink_to(folder.bulk)
    config = home / "nginx.conf"
    config.write_text(nginx_config(home, family=topology.family))
    namespace, log = topology.namespace(node), folder.log(node)
    nginx = ["nginx", "-p", str(home), "-e", str(home / "nginx.log"), "-c", str(config)]
    namespaces.start(namespace, nginx, log=log, environment=environment())
    addresses = [topology.address(node)]
    if topology.layout.holds_vip:
        _hold_virtual_address(folder, topology, node)
        addresses.append(topology.vip)
    for address in addresses:
        echo = [sys.executable, "-m", "shoal.lab.echo", "--name", node]
        echo += ["--address", str(address), "--port", str(ECHO_PORT), "--dns-port", str(DNS_PORT)]
        namespaces.start(namespace, echo, log=log, environment=environment())


def _hold_virtual_address(folder: LabFolder, topology: Topology, node: str) -> None:
    """Exactly what an operator runs on a real server. Raises UnavailableError with what it said."""
    places = folder.places(node)
    command = [
        sys.executable,
        "-m",
        "shoal.cli",
        "realserver",
        "apply",
        "--vip",
        str(topology.vip),
        "--method",
        str(topology.forward),
        "--encap",
        str(topology.encap),
        "--run-dir",
        str(places.run),
        "--bpf-dir",
        str(places.pins),
    ]
    in_this_shoal = ["env", f"PYTHONPATH={environment()['PYTHONPATH']}", *command]
    done = namespaces.run(topology.namespace(node), in_this_shoal)
    if done.returncode != 0:
        raise UnavailableError(where=f"lab, {node}", problem=done.stderr.strip())


def reboot_router(folder: LabFolder, topology: Topology, node: str) -> None:
    """Give a router that lost its power a new life: nothing in its kernel survives, its disk does.

    Its processes are dead; its namespace, with every address and program in it, is replaced by a new one.
    """
    namespace = topology.namespace(node)
    places = folder.places(node)
    namespaces.end_processes([namespace])
    unplug(topology, node)
    namespaces.remove_all([namespace])
    for path in (places.run, places.pins):
        _remove_tree(path)
    namespaces.add([namespace])
    plug_in(topology, node)


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def environment() -> dict[str, str]:
    """The environment of every program of the lab: this Shoal, and the system programs."""
    source = str(Path(shoal.__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": source, "PATH": _path()}


def _path() -> str:
    """PATH with the folders of system programs, which a plain user's lacks."""
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


def log_tail(path: Path, *, lines: int = 12) -> str:
    """The end of a log, indented; a sentence when there is none."""
    try:
        text = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text[-lines:]) or "    (empty)"
