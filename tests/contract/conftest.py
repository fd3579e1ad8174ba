"""The contract tests run against every dataplane in ``support.dataplanes``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import conformance
from support.dataplanes import DATAPLANES, close_benches
from support.flows import ContractLab

_proved: set[tuple[str, str, str, str]] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note what passed of the conformance matrix: not what was collected."""
    report = yield
    if report.when == "call" and report.passed and item.path.name == conformance.MODULE:
        parameters = dict(item.callspec.params)
        _proved.add(conformance.record(parameters, parameters["lab"]))
    return report


def pytest_sessionfinish() -> None:
    """Write down what passed, where that was asked for."""
    if results := os.environ.get(conformance.RESULTS):
        Path(results).write_text(json.dumps(sorted(_proved)))


@pytest.fixture(scope="session", autouse=True)
def benches() -> Iterator[None]:
    """The eBPF programs are loaded once, and go with the last test."""
    yield
    close_benches()


@pytest.fixture(params=DATAPLANES)
def lab(request: pytest.FixtureRequest) -> Iterator[ContractLab]:
    """A fresh dataplane, taken away at the end."""
    under_test = DATAPLANES[request.param]()
    try:
        yield ContractLab(under_test)
    finally:
        under_test.close()
