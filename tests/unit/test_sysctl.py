"""Forwarding, and what it was before."""

import json
from pathlib import Path

import pytest

from shoal.errors import ForbiddenError
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
    sysctl.prepare_interfaces(["eth0", "eth1.10", "gone"], memory=memory)
    assert [(proc / name / "forwarding").read_text() for name in ("eth0", "eth1.10")] == ["1", "1"]
    sysctl.restore(memory)
    assert [(proc / name / "forwarding").read_text() for name in ("eth0", "eth1.10")] == ["0", "1"]
    assert not memory.exists()


def test_what_a_dead_predecessor_found_is_what_is_put_back(proc: Path, tmp_path: Path) -> None:
    memory = tmp_path / "sysctl.json"
    for _ in range(2):
        sysctl.prepare_interfaces(["eth0"], memory=memory)
    assert json.loads(memory.read_text()) == {"net/ipv4/conf/eth0/forwarding": "0"}


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
