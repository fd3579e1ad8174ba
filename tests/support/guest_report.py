"""A pytest plugin for the guest: each test's outcome goes out by a virtio port as a line of JSON, when it is known.

The environment variable ``SHOAL_GUEST_PORT`` names the port.
"""

import json
import os
from pathlib import Path

import pytest

PORT = "SHOAL_GUEST_PORT"


def _device(name: str) -> Path:
    for port in Path("/sys/class/virtio-ports").iterdir():
        if (port / "name").read_text().strip() == name:
            return Path("/dev") / port.name
    raise FileNotFoundError(f"no virtio port {name}")


class Reporter:
    """Writes lines to the port."""

    def __init__(self, port: str) -> None:
        self._out = _device(port).open("wb", buffering=0)

    def _tell(self, **fields: object) -> None:
        self._out.write(json.dumps(fields).encode() + b"\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's call, or a phase around it that did not go well."""
        if report.when == "call" or not report.passed:
            self._tell(
                test=report.nodeid, outcome=report.outcome, text=report.longreprtext, seconds=report.duration
            )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that could not be imported."""
        if report.failed:
            self._tell(test=report.nodeid, outcome="failed", text=report.longreprtext, seconds=0)


def pytest_configure(config: pytest.Config) -> None:
    """Only in a guest."""
    if port := os.environ.get(PORT):
        config.pluginmanager.register(Reporter(port))
