"""shoal realserver on a host of its own: from nothing to a real server and back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespaces import own_name, run

VIP = "192.0.2.10"
SETTINGS = ("all.arp_ignore", "all.arp_announce", "eth0.arp_ignore", "eth0.arp_announce")
CONFIG = f"""
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "www"
listen = ["{VIP}:80/tcp"]
method = "dr"
real_servers = ["192.0.2.21:80"]
"""


@pytest.fixture
def host() -> Iterator[str]:
    """A namespace with an address on eth0."""
    name = own_name("srs")
    run(f"ip netns add {name}")
    try:
        run(f"ip -n {name} link set lo up")
        run(f"ip -n {name} link add eth0 type veth peer name far")
        run(f"ip -n {name} link set eth0 up && ip -n {name} link set far up")
        run(f"ip -n {name} address add 192.0.2.21/24 dev eth0")
        run(f"ip netns exec {name} sysctl -qw net.ipv4.conf.eth0.arp_ignore=8")
        yield name
    finally:
        run(f"ip netns del {name}")


def shoal(host: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``shoal realserver`` on the host."""
    command = ["ip", "netns", "exec", host, sys.executable, "-m", "shoal.cli", "realserver", *arguments]
    return subprocess.run(
        [*command, "--run-dir", str(folder)], capture_output=True, text=True, check=False, timeout=30
    )


def settings(host: str) -> list[str]:
    names = " ".join(f"net.ipv4.conf.{name}" for name in SETTINGS)
    return run(f"ip netns exec {host} sysctl -n {names}").split()


def on_lo(host: str) -> list[str]:
    (lo,) = json.loads(run(f"ip -n {host} -j address show dev lo"))
    return [each["local"] for each in lo["addr_info"] if each["family"] == "inet"]


def test_apply_check_and_remove_by_address(host: str, tmp_path: Path):
    before = settings(host)
    assert shoal(host, tmp_path, "check", "--vip", VIP).returncode == 1
    for _ in range(2):
        assert shoal(host, tmp_path, "apply", "--vip", VIP).returncode == 0
    assert settings(host) == ["1", "2", "1", "2"]
    assert on_lo(host) == ["127.0.0.1", VIP]
    checked = shoal(host, tmp_path, "check", "--vip", VIP)
    assert (checked.returncode, checked.stdout) == (0, "right\n")
    for _ in range(2):
        assert shoal(host, tmp_path, "remove").returncode == 0
    assert settings(host) == before
    assert on_lo(host) == ["127.0.0.1"]


def test_the_configuration_tells_which_addresses(host: str, tmp_path: Path):
    file = tmp_path / "shoal.toml"
    file.write_text(CONFIG)
    applied = shoal(host, tmp_path, "apply", "-c", str(file), "--json")
    assert json.loads(applied.stdout) == {"virtual_addresses": [VIP], "tunnels": {}, "advice": []}
    assert on_lo(host) == ["127.0.0.1", VIP]


def test_apply_takes_away_an_address_that_is_not_wanted_any_more(host: str, tmp_path: Path):
    shoal(host, tmp_path, "apply", "--vip", VIP)
    shoal(host, tmp_path, "apply", "--vip", "192.0.2.11")
    assert on_lo(host) == ["127.0.0.1", "192.0.2.11"]


def test_check_names_what_is_wrong_and_how_to_mend_it(host: str, tmp_path: Path):
    shoal(host, tmp_path, "apply", "--vip", VIP)
    run(f"ip netns exec {host} sysctl -qw net.ipv4.conf.eth0.arp_announce=0")
    checked = shoal(host, tmp_path, "check", "--vip", VIP, "--json")
    assert checked.returncode == 1
    (fault,) = json.loads(checked.stdout)["faults"]
    assert fault["where"] == "sysctl net.ipv4.conf.eth0.arp_announce"
    assert "shoal realserver apply" in fault["fix"]


def test_a_host_that_serves_nothing_directly_is_told_so(host: str, tmp_path: Path):
    file = tmp_path / "shoal.toml"
    file.write_text(CONFIG.replace("192.0.2.21:80", "192.0.2.99:80"))
    refused = shoal(host, tmp_path, "apply", "-c", str(file))
    assert refused.returncode == 78
    assert "no virtual server has this host" in refused.stderr
    assert on_lo(host) == ["127.0.0.1"]
