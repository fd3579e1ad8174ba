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
        "from shoal.system.rtnetlink import *\nfrom shoal.system.announcer import Announcer\n"
        "from ipaddress import *\nimport os, time, socket\n"
        "netlink = Netlink()\nlinks = {link.name: link for link in netlink.links()}\n"
        "def tagged(text, name='v0', protocol=0x53):\n"
        "    return Address(index=links[name].index, address=ip_interface(text), protocol=protocol)\n"
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
        "print([a for a in netlink.addresses() if not a.address.is_link_local])\n",
    )
    assert found.splitlines() == ["()", "True", "() () ()", "[]"]


def test_a_thousand_ipv6_addresses_come_and_go_and_are_there_at_once(namespace: str) -> None:
    found = inside(
        namespace,
        "many = [tagged(f'2001:db8::{n:x}/128') for n in range(1, 1001)]\n"
        "print(netlink.add_addresses(many))\n"
        "mine = [a for a in netlink.addresses() if a.protocol == 0x53]\n"
        "print(sorted(mine, key=lambda a: a.address) == many)\n"
        "print(os.popen('ip -6 -o address show tentative').read().count('2001:db8'))\n"
        "print(netlink.add_addresses(many), netlink.delete_addresses(many), netlink.delete_addresses(many))\n"
        "print([a for a in netlink.addresses() if not a.address.is_link_local])\n",
    )
    assert found.splitlines() == ["()", "True", "0", "() () ()", "[]"]


def test_an_ipv6_address_is_the_hosts_own_when_the_call_returns(namespace: str) -> None:
    """The kernel's work queue would need the lock that these programs take all the time."""
    found = inside(
        namespace,
        "import subprocess\n"
        "busy = 'while :; do ip link set v1 down; ip link set v1 up; done'\n"
        "others = [subprocess.Popen(['sh', '-c', busy]) for _ in range(2)]\n"
        "late = 0\n"
        "for n in range(1, 101):\n"
        "    address = tagged(f'2001:db8::{n:x}/128')\n"
        "    netlink.add_addresses([address])\n"
        "    late += not netlink._is_local(address)\n"
        "for other in others:\n"
        "    other.kill()\n"
        "    other.wait()\n"
        "print(late)\n",
    )
    assert found == "0"


def test_a_floating_ipv6_address_is_never_the_source_of_this_hosts_own_packets(namespace: str) -> None:
    found = inside(
        namespace,
        "os.system('ip address add 2001:db8::11/64 dev v0 nodad')\n"
        "print(netlink.add_addresses([tagged('2001:db8::1/64'), tagged('2001:db8::10/128')]))\n"
        "sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
        "sock.connect(('2001:db8::99', 9))\n"
        "print(sock.getsockname()[0])\n"
        "sock.close()\n"
        "print(netlink.delete_addresses([tagged('2001:db8::1/64')]))\n"
        "print(len(os.popen('ip -6 route show 2001:db8::/64').read().splitlines()))\n",
    )
    assert found.splitlines() == ["()", "2001:db8::11", "()", "1"]


def test_ipv6_that_is_off_on_an_interface_is_said_with_its_fix(namespace: str) -> None:
    found = inside(
        namespace,
        "open('/proc/sys/net/ipv6/conf/v0/disable_ipv6', 'w').write('1')\n"
        "print(*netlink.add_addresses([tagged('2001:db8::10/128')]))\n",
    )
    assert found.splitlines()[0].endswith("cannot add 2001:db8::10/128: Permission denied")
    assert found.splitlines()[1] == "  fix: IPv6 is off on the interface; set its sysctl disable_ipv6 to 0"


def test_an_error_names_its_address_and_the_rest_goes_through(namespace: str) -> None:
    found = inside(
        namespace,
        "nowhere = Address(index=999, address=IPv4Interface('10.1.1.1/24'), protocol=0x53)\n"
        "errors = netlink.add_addresses([nowhere, tagged('10.2.2.2/24')])\n"
        "print([str(error) for error in errors])\n"
        "print([str(a.address) for a in netlink.addresses() if not a.address.is_link_local])\n",
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
    # with the link goes its own link-local address
    assert found.splitlines() == ["(False, False)", "(False, True)", "(True, True) (False, False)"]


def test_ipv6_addresses_that_vanish_are_noticed_too(namespace: str) -> None:
    found = inside(
        namespace,
        "netlink.add_addresses([tagged('2001:db8::10/128')])\n"
        "watch = Subscription()\n"
        "netlink.delete_addresses([tagged('2001:db8::10/128')])\n"
        "print(watch.receive())\n",
    )
    assert found.splitlines() == ["(False, True)"]


def test_a_neighbour_believes_an_advertisement_and_replaces_the_mac_that_it_knew(namespace: str) -> None:
    peer = f"{namespace}2"
    subprocess.run(["ip", "netns", "add", peer], check=True)
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "v1", "netns", peer], check=True)
        subprocess.run(["ip", "-n", peer, "link", "set", "v1", "up"], check=True)
        known = ["neigh", "add", "2001:db8::10", "lladdr", "02:00:00:00:00:99", "dev", "v1", "nud", "stale"]
        subprocess.run(["ip", "-n", peer, *known], check=True)
        inside(
            namespace,
            "mac = bytes.fromhex('020000000001')\n"
            "print(Announcer().announce(interface='v0', mac=mac, addresses=[IPv6Address('2001:db8::10')]))\n",
        )
        show = ["ip", "-n", peer, "neigh", "show", "2001:db8::10"]
        shown = subprocess.run(show, check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run(["ip", "netns", "delete", peer], check=True)
    assert shown.split()[3:] == ["lladdr", "02:00:00:00:00:01", "router", "STALE"]


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
