"""Links, addresses and ARP of a real kernel, in a namespace of our own."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"sp-{secrets.token_hex(3)}-nl"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"):
            subprocess.run(["ip", "-n", name, *command.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def inside(namespace: str, script: str) -> str:
    """Run Python in the namespace; its output."""
    prelude = (
        "from shoal.system.rtnetlink import *\nfrom shoal.system.arp import *\n"
        "from ipaddress import *\nimport os, time, socket\n"
        "netlink = Netlink()\nlinks = {link.name: link for link in netlink.links()}\n"
        "def tagged(text, name='v0', protocol=0x53):\n"
        "    return Address(index=links[name].index, address=IPv4Interface(text), protocol=protocol)\n"
    )
    command = ["ip", "netns", "exec", namespace, sys.executable, "-W", "error", "-c", prelude + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_links_are_listed_with_carrier_mac_and_kind(namespace: str) -> None:
    subprocess.run(["ip", "-n", namespace, "link", "set", "v1", "down"], check=True)
    found = inside(
        namespace,
        "for name in ('lo', 'v0', 'v1'):\n"
        "    link = links[name]\n"
        "    print(name, link.up, len(link.mac), link.kind, link.peer_netns)\n",
    )
    assert found.splitlines() == ["lo False 6  None", "v0 False 6 veth None", "v1 False 6 veth None"]


def test_a_thousand_addresses_come_and_go_and_carry_their_tag(namespace: str) -> None:
    found = inside(
        namespace,
        "many = [tagged(f'10.9.{n // 250}.{n % 250 + 1}/32') for n in range(1000)]\n"
        "print(netlink.add_addresses(many))\n"
        "mine = [a for a in netlink.addresses() if a.protocol == 0x53]\n"
        "print(sorted(mine, key=lambda a: a.address) == many)\n"
        "print(netlink.add_addresses(many), netlink.delete_addresses(many), netlink.delete_addresses(many))\n"
        "print(netlink.addresses())\n",
    )
    assert found.splitlines() == ["()", "True", "() () ()", "()"]


def test_an_error_names_its_address_and_the_rest_goes_through(namespace: str) -> None:
    found = inside(
        namespace,
        "nowhere = Address(index=999, address=IPv4Interface('10.1.1.1/24'), protocol=0x53)\n"
        "errors = netlink.add_addresses([nowhere, tagged('10.2.2.2/24')])\n"
        "print([str(error) for error in errors])\n"
        "print([str(a.address) for a in netlink.addresses()])\n",
    )
    assert found.splitlines() == [
        "['interface 999: cannot add 10.1.1.1/24: No such device\\n  fix: the interface is gone; bring it back']",
        "['10.2.2.2/24']",
    ]


def test_changes_are_told_apart(namespace: str) -> None:
    found = inside(
        namespace,
        "watch = Subscription()\n"
        "netlink.add_addresses([tagged('10.2.2.2/24')])\n"
        "print(watch.receive())\n"
        "netlink.delete_addresses([tagged('10.2.2.2/24')])\n"
        "print(watch.receive())\n"
        "os.system('ip link set v1 down')\n"
        "print(watch.receive(), watch.receive())\n",
    )
    assert found.splitlines() == ["(False, False)", "(False, True)", "(True, False) (False, False)"]


def test_an_announcement_arrives_as_it_was_made(namespace: str) -> None:
    found = inside(
        namespace,
        "listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))\n"
        "listener.bind(('v1', 0x0806))\n"
        "listener.settimeout(5)\n"
        "addresses = [IPv4Address('192.0.2.10'), IPv4Address('192.0.2.11')]\n"
        "print(Announcer().announce(interface='v0', mac=bytes.fromhex('020000000001'), addresses=addresses))\n"
        "print(listener.recv(100)[:42].hex(), listener.recv(100)[:42].hex())\n",
    )
    mac = "020000000001"
    frames = [
        f"{'ff' * 6}{mac}0806" + f"0001080006040001{mac}{address}{'00' * 6}{address}"
        for address in ("c000020a", "c000020b")
    ]
    assert found.splitlines() == ["2", " ".join(frames)]


def test_an_announcement_on_a_dead_link_is_lost_quietly(namespace: str) -> None:
    subprocess.run(["ip", "-n", namespace, "link", "set", "v0", "down"], check=True)
    found = inside(
        namespace,
        "for name in ('v0', 'gone'):\n"
        "    print(Announcer().announce(interface=name, mac=bytes(6), addresses=[IPv4Address('192.0.2.10')]))\n",
    )
    assert found.splitlines() == ["0", "0"]
