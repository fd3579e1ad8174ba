"""What systemd is told."""

import os
import socket
from pathlib import Path

import pytest

from shoal.system.service_notify import ServiceNotify


def test_systemd_is_told_at_its_socket_and_asks_for_a_sign_of_life_twice_as_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        notify = ServiceNotify()
        notify.tell("READY=1")
        assert systemd.recv(64, socket.MSG_DONTWAIT) == b"READY=1"
        assert notify.watchdog == 1.5


def test_children_do_not_inherit_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    ServiceNotify().tell("READY=1")
    assert "NOTIFY_SOCKET" not in os.environ


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    notify = ServiceNotify()
    notify.tell("READY=1")
    assert notify.watchdog == 0
