"""Forwarding of IPv6 by a real kernel, on a host that has its default route from router advertisements."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")

PRELUDE = """
import os, socket, struct, sys, time
from ipaddress import IPv6Address
from pathlib import Path
from shoal.system import sysctl
from shoal.system.neighbour_discovery import ALL_NODES, checksum, multicast_mac

MEMORY = Path(sys.argv[1])
CONF = Path("/proc/sys/net/ipv6/conf")

def advertise():
    # RFC 4861 section 4.2: type 134, hop limit 64, router lifetime 1800 s
    router, mac = IPv6Address("fe80::99"), bytes.fromhex("020000000099")
    option = b"\\x01\\x01" + mac
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + option
    total = checksum(message, source=router, destination=ALL_NODES)
    message = message[:2] + total.to_bytes(2, "big") + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + router.packed + ALL_NODES.packed
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.sendto(multicast_mac(ALL_NODES) + mac + b"\\x86\\xdd" + header + message, ("v1", 0x86DD))

def default_routes():
    return os.popen("ip -6 route show default").read().count("via fe80::99 dev v0")

def wait_for_route():
    give_up = time.monotonic() + 5
    while not default_routes() and time.monotonic() < give_up:
        advertise()
        time.sleep(0.01)
    assert default_routes(), "the kernel did not take the advertisement"

wait_for_route()
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"sf-{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in (
            "link add v0 type veth peer name v1",
            "link set v0 addrgenmode none",
            "addr add fe80::11/64 dev v0 nodad",
            "link set v0 up",
            "link set v1 up",
        ):
            subprocess.run(["ip", "-n", name, *command.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def inside(namespace: str, script: str, memory: str) -> list[str]:
    """Run Python in the namespace; its lines."""
    command = [
        "ip",
        "netns",
        "exec",
        namespace,
        sys.executable,
        "-W",
        "error",
        "-c",
        PRELUDE + script,
        memory,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_router_keeps_the_default_route_that_it_has_from_advertisements(
    namespace: str, tmp_path: os.PathLike[str]
) -> None:
    found = inside(
        namespace,
        "sysctl.prepare_interfaces(['v0'], ipv6=True, memory=MEMORY)\n"
        "print((CONF / 'all/forwarding').read_text().strip(), default_routes())\n"
        "sysctl.restore(MEMORY)\n"
        "names = ('all/forwarding', 'v0/forwarding', 'v0/accept_ra')\n"
        "print(*[(CONF / name).read_text().strip() for name in names], default_routes())\n",
        f"{tmp_path}/sysctl.json",
    )
    assert found == ["1 1", "0 0 1 1"]


def test_without_that_care_the_kernel_would_drop_it(namespace: str, tmp_path: os.PathLike[str]) -> None:
    """What the order of ``prepare_interfaces`` is for; a kernel that differs makes this fail."""
    found = inside(
        namespace,
        "(CONF / 'all/forwarding').write_text('1')\nprint(default_routes())\n",
        f"{tmp_path}/sysctl.json",
    )
    assert found == ["0"]
