"""Network namespaces for tests: sockets are made inside one and used from anywhere."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(command: str) -> str:
    """A command that must work; its output."""
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in the namespace; sockets made meanwhile stay there."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.setns(there, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _LIBC.setns(before, _CLONE_NEWNET)
        os.close(there)
        os.close(before)


def own_name(prefix: str) -> str:
    """A name that no other test run uses; what killed runs have left under the prefix is removed."""
    for left in Path("/run/netns").glob(f"{prefix}-*"):
        owner = left.name.split("-")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            run(f"ip netns del {left.name}")
    return f"{prefix}-{os.getpid()}"


@contextlib.contextmanager
def bpffs(folder: Path) -> Iterator[Path]:
    """A BPF file system of its own; what is pinned in it goes with it."""
    run(f"mount -t bpf bpf {folder}")
    try:
        yield folder
    finally:
        run(f"umount {folder}")


@dataclass(frozen=True, slots=True)
class Wires:
    """client --eth0 [public] eth0-- router --eth1 [private] eth0-- server. The server's gateway is the router."""

    client: str
    router: str
    server: str


CLIENT = IPv4Address("198.18.0.10")
ROUTER = IPv4Address("198.18.0.1")
VIP = IPv4Address("198.18.0.100")
GATEWAY = IPv4Address("198.19.0.1")
SERVERS = (IPv4Address("198.19.0.21"), IPv4Address("198.19.0.22"), IPv4Address("198.19.0.23"))


@contextlib.contextmanager
def wires(prefix: str) -> Iterator[Wires]:
    """Three namespaces joined by two veth pairs; all the servers' addresses are on one namespace."""
    own = own_name(prefix)
    names = Wires(f"{own}-client", f"{own}-router", f"{own}-server")
    everything = (names.client, names.router, names.server)
    _delete(everything)
    try:
        for name in everything:
            run(f"ip netns add {name} && ip -n {name} link set lo up")
        run(f"ip link add eth0 netns {names.router} type veth peer name eth0 netns {names.client}")
        run(f"ip link add eth1 netns {names.router} type veth peer name eth0 netns {names.server}")
        run(f"ip -n {names.client} address add {CLIENT}/24 dev eth0")
        run(f"ip -n {names.router} address add {ROUTER}/24 dev eth0")
        run(f"ip -n {names.router} address add {VIP}/32 dev eth0")
        run(f"ip -n {names.router} address add {GATEWAY}/24 dev eth1")
        for server in SERVERS:
            run(f"ip -n {names.server} address add {server}/24 dev eth0")
        for name, link in (
            (names.client, "eth0"),
            (names.router, "eth0"),
            (names.router, "eth1"),
            (names.server, "eth0"),
        ):
            run(f"ip -n {name} link set {link} up")
        run(f"ip -n {names.server} route add default via {GATEWAY}")
        run(f"ip netns exec {names.router} sysctl -qw net.ipv4.ip_forward=1")
        yield names
    finally:
        _delete(everything)


def _delete(names: tuple[str, ...]) -> None:
    for name in names:
        if Path(f"/run/netns/{name}").exists():
            run(f"ip netns del {name}")


def counter(namespace: str, name: str) -> int:
    """A counter of the namespace's own network stack (nstat's names, such as TcpInCsumErrors)."""
    for line in run(f"ip netns exec {namespace} nstat -asz {name}").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise AssertionError(f"nstat knows no {name}")
