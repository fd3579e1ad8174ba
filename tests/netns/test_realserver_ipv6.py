"""shoal realserver over IPv6: a virtual address on lo serves, and neighbours learn nothing of it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespaces import inside, own_name, run

VIP = "2001:db8::10"
ROUTER, HOST = "2001:db8:1::1", "2001:db8:1::21"
SOLICITATION = 135  # ICMPv6 type, RFC 4861 4.3
QUICK = "net.ipv6.neigh.eth0.retrans_time_ms=50 net.ipv6.neigh.eth0.mcast_solicit=3"


@pytest.fixture
def network() -> Iterator[tuple[str, str]]:
    """A router and a host, each with an address on eth0 of one network."""
    router, host = own_name("srr"), own_name("srh")
    run(f"ip netns add {router} && ip netns add {host}")
    try:
        run(f"ip link add eth0 netns {router} type veth peer name eth0 netns {host}")
        for name, address in ((router, ROUTER), (host, HOST)):
            run(f"ip netns exec {name} sysctl -qw {QUICK} net.ipv6.conf.eth0.accept_dad=0")
            run(f"ip -n {name} link set lo up && ip -n {name} link set eth0 up")
            run(f"ip -n {name} address add {address}/64 dev eth0 nodad")
        yield router, host
    finally:
        run(f"ip netns del {router}; ip netns del {host}")


def shoal(host: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``shoal realserver`` on the host."""
    command = ["ip", "netns", "exec", host, sys.executable, "-m", "shoal.cli", "realserver", *arguments]
    return subprocess.run(
        [*command, "--run-dir", str(folder)], capture_output=True, text=True, check=False, timeout=30
    )


def on_lo(host: str) -> list[tuple[str, int, bool]]:
    """The addresses on lo, each with its prefix length, and whether it is a source of the host's own packets."""
    (lo,) = json.loads(run(f"ip -n {host} -j address show dev lo"))
    return [
        (each["local"], each["prefixlen"], not each.get("deprecated", False))
        for each in lo["addr_info"]
        if each["family"] == "inet6" and each["local"] != "::1"
    ]


def arp_settings(host: str) -> list[str]:
    places = ("all", "eth0")
    names = " ".join(
        f"net.ipv4.conf.{place}.{name}" for place in places for name in ("arp_ignore", "arp_announce")
    )
    return run(f"ip netns exec {host} sysctl -n {names}").split()


def connect(router: str, address: str) -> socket.socket:
    with inside(router):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sock.settimeout(5)
    try:
        sock.connect((address, 80))
    except OSError:
        sock.close()
        raise
    return sock


def test_apply_check_and_remove_leave_arp_alone(network: tuple[str, str], tmp_path: Path):
    _, host = network
    before = arp_settings(host)
    assert shoal(host, tmp_path, "check", "--vip", VIP).returncode == 1
    for _ in range(2):
        assert shoal(host, tmp_path, "apply", "--vip", VIP).returncode == 0
    assert on_lo(host) == [(VIP, 128, False)]
    assert arp_settings(host) == before
    checked = shoal(host, tmp_path, "check", "--vip", VIP)
    assert (checked.returncode, checked.stdout) == (0, "right\n")
    assert shoal(host, tmp_path, "remove").stdout == f"removed: {VIP}\n"
    assert on_lo(host) == []


def test_the_arp_settings_go_when_the_last_ipv4_address_goes(network: tuple[str, str], tmp_path: Path):
    _, host = network
    run(f"ip -n {host} address add 192.0.2.21/24 dev eth0")
    before = arp_settings(host)
    assert shoal(host, tmp_path, "apply", "--vip", VIP, "--vip", "192.0.2.10").returncode == 0
    assert arp_settings(host) == ["1", "2", "1", "2"]
    assert shoal(host, tmp_path, "apply", "--vip", VIP).returncode == 0
    assert arp_settings(host) == before


def test_the_virtual_address_serves_who_sends_to_the_hosts_mac(network: tuple[str, str], tmp_path: Path):
    router, host = network
    shoal(host, tmp_path, "apply", "--vip", VIP)
    run(f"ip -n {router} route add {VIP}/128 via {HOST}")
    with inside(host):
        listener = socket.create_server((VIP, 80), family=socket.AF_INET6)
    with listener, connect(router, VIP) as client:
        served, peer = listener.accept()
        with served:
            served.sendall(b"here")
        assert (client.recv(10), peer[0]) == (b"here", ROUTER)


def test_a_neighbour_that_asks_for_the_virtual_address_gets_no_answer(
    network: tuple[str, str], tmp_path: Path
):
    router, host = network
    shoal(host, tmp_path, "apply", "--vip", VIP)
    run(f"ip -n {router} route add {VIP}/128 dev eth0")
    with pytest.raises(OSError, match="No route to host"):
        connect(router, VIP)
    assert "FAILED" in run(f"ip -n {router} -6 neigh show {VIP} dev eth0")
    with pytest.raises(ConnectionRefusedError):
        connect(router, HOST)


def test_a_reply_in_the_virtual_addresss_name_is_not_asked_for_in_its_name(
    network: tuple[str, str], tmp_path: Path
):
    router, host = network
    shoal(host, tmp_path, "apply", "--vip", VIP)
    with inside(router):
        watch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
    with inside(host):
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with watch, sender:
        watch.bind(("eth0", 0))
        watch.settimeout(5)
        sender.bind((VIP, 80))
        sender.sendto(b"reply", (ROUTER, 9))
        frame = b""
        while frame[54:55] != bytes([SOLICITATION]) or frame[62:78] != socket.inet_pton(
            socket.AF_INET6, ROUTER
        ):
            frame = watch.recv(2000)
        assert socket.inet_ntop(socket.AF_INET6, frame[22:38]) != VIP
        while frame[54:62] != bytes([0, 80, 0, 9, 0, 13]) + frame[60:62]:
            frame = watch.recv(2000)
        assert socket.inet_ntop(socket.AF_INET6, frame[22:38]) == VIP


def test_a_virtual_address_that_means_nothing_elsewhere_is_refused(network: tuple[str, str], tmp_path: Path):
    _, host = network
    refused = shoal(host, tmp_path, "apply", "--vip", "fe80::10")
    assert refused.returncode == 78
    assert "--vip: 'fe80::10' is a link-local address" in refused.stderr
    assert on_lo(host) == []
