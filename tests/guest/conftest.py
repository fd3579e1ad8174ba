"""One guest for the whole tier: it boots once and runs everything that is chosen."""

import pytest
from chosen import CHOSEN, concerns_the_kernel, group

from support.guest import GuestRun, collected, run_tests

DEADLINE = 300.0


@pytest.fixture(scope="session")
def guest() -> GuestRun:
    """What it has done."""
    groups: dict[str, list[str]] = {}
    for test in filter(concerns_the_kernel, collected(CHOSEN)):
        groups.setdefault(group(test), []).append(test)
    return run_tests(groups, deadline=DEADLINE)
