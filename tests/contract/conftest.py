"""The contract tests run against every dataplane in ``support.dataplanes``."""

from collections.abc import Iterator

import pytest

from support.dataplanes import DATAPLANES, close_benches
from support.flows import ContractLab


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
