"""Forwarding, and what it was before."""

import json
from pathlib import Path

import pytest

from shoal.errors import ConfigError, ForbiddenError
from shoal.system import sysctl


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc/sys with two interfaces, one of which forwards already."""
    monkeypatch.setattr(sysctl, "SYSCTLS", tmp_path / "sys")
    for name, value in (("eth0", "0"), ("eth1.10", "1")):
        file = tmp_path / "sys" / f"net/ipv4/conf/{name}/forwarding"
        file.parent.mkdir(parents=True)
        file.write_text(f"{value}\n")
    return tmp_path / "sys/net/ipv4/conf"


def test_forwarding_is_enabled_and_put_back(proc: Path, tmp_path: Path) -> None:
    memory = tmp_path / "sysctl.json"
    sysctl.prepare_interfaces(["eth0", "eth1.10", "gone"], ipv6=False, memory=memory)
    assert [(proc / name / "forwarding").read_text() for name in ("eth0", "eth1.10")] == ["1", "1"]
    sysctl.restore(memory)
    assert [(proc / name / "forwarding").read_text() for name in ("eth0", "eth1.10")] == ["0", "1"]
    assert not memory.exists()


def test_what_a_dead_predecessor_found_is_what_is_put_back(proc: Path, tmp_path: Path) -> None:
    memory = tmp_path / "sysctl.json"
    for _ in range(2):
        sysctl.prepare_interfaces(["eth0"], ipv6=False, memory=memory)
    assert json.loads(memory.read_text()) == {"net/ipv4/conf/eth0/forwarding": "0"}


@pytest.fixture
def proc6(tmp_path: Path, proc: Path) -> Path:
    """IPv6 of the same host: it forwards nothing; eth0 takes router advertisements, eth1.10 none."""
    folder = tmp_path / "sys/net/ipv6/conf"
    for name, accept_ra in (("all", "1"), ("default", "0"), ("eth0", "1"), ("eth1.10", "0")):
        (folder / name).mkdir(parents=True)
        (folder / name / "accept_ra").write_text(f"{accept_ra}\n")
        (folder / name / "forwarding").write_text("0\n")
    return folder


def ipv6_settings(folder: Path, name: str) -> dict[str, str]:
    return {each.name: (each / name).read_text().strip() for each in folder.glob("*")}


def test_ipv6_is_left_alone_where_it_is_not_served(proc6: Path, tmp_path: Path) -> None:
    sysctl.prepare_interfaces(["eth0"], ipv6=False, memory=tmp_path / "sysctl.json")
    assert set(ipv6_settings(proc6, "forwarding").values()) == {"0"}


def test_ipv6_is_forwarded_and_every_interface_put_back(proc6: Path, tmp_path: Path) -> None:
    (proc6 / "eth1.10/forwarding").write_text("1\n")
    memory = tmp_path / "sysctl.json"
    sysctl.prepare_interfaces(["eth0"], ipv6=True, memory=memory)
    assert set(ipv6_settings(proc6, "forwarding").values()) == {"1"}
    sysctl.restore(memory)
    assert ipv6_settings(proc6, "forwarding") == {"all": "0", "default": "0", "eth0": "0", "eth1.10": "1"}


def test_an_interface_that_took_router_advertisements_goes_on_although_the_host_forwards(
    proc6: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "sysctl.json"
    for _ in range(2):
        sysctl.prepare_interfaces(["eth1.10"], ipv6=True, memory=memory)
    assert ipv6_settings(proc6, "accept_ra") == {"all": "1", "default": "0", "eth0": "2", "eth1.10": "0"}
    order = list(json.loads(memory.read_text()))
    eth0, everywhere = "net/ipv6/conf/eth0/accept_ra", "net/ipv6/conf/all/forwarding"
    assert order.index(eth0) < order.index(
        everywhere
    )  # written in this order: else the default route is gone
    sysctl.restore(memory)
    assert ipv6_settings(proc6, "accept_ra")["eth0"] == "1"


def test_where_nothing_was_changed_nothing_is_put_back(proc: Path, tmp_path: Path) -> None:
    sysctl.restore(tmp_path / "sysctl.json")
    assert (proc / "eth0/forwarding").read_text() == "0\n"


def test_a_sysctl_that_cannot_be_written_is_an_error_with_a_fix(proc: Path, tmp_path: Path) -> None:
    (proc / "eth0/forwarding").unlink()
    (proc / "eth0/forwarding").symlink_to(proc / "nowhere/at/all")
    with pytest.raises(ForbiddenError) as refusal:
        sysctl._write("net/ipv4/conf/eth0/forwarding", "1")
    assert refusal.value.where == "sysctl net.ipv4.conf.eth0.forwarding"
    assert refusal.value.fix.startswith("run as root")


@pytest.fixture
def port_settings(proc: Path, tmp_path: Path) -> Path:
    """The folder of the host's ports, as the kernel comes."""
    folder = tmp_path / "sys/net/ipv4"
    (folder / "ip_local_port_range").write_text("32768\t60999\n")
    (folder / "ip_local_reserved_ports").write_text("\n")
    return folder


@pytest.mark.parametrize(
    ("before", "during"), [("", "20000-40000"), ("5390,8080", "5390,8080,20000-40000")], ids=["none", "some"]
)
def test_ports_are_reserved_beside_those_that_were_and_given_back(
    port_settings: Path, tmp_path: Path, before: str, during: str
) -> None:
    memory = tmp_path / "sysctl.json"
    reserved = port_settings / "ip_local_reserved_ports"
    reserved.write_text(f"{before}\n")
    for ports in (range(1024, 2048), range(20_000, 40_001)):
        sysctl.reserve_ports(ports, memory=memory)
    assert reserved.read_text() == during
    sysctl.restore(memory)
    assert reserved.read_text().strip() == before


def test_all_of_the_hosts_own_ports_cannot_be_reserved(port_settings: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave none to the router's own connections"):
        sysctl.reserve_ports(range(20_000, 65_536), memory=tmp_path / "sysctl.json")
    assert (port_settings / "ip_local_reserved_ports").read_text() == "\n"
