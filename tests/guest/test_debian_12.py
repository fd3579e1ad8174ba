"""Debian 12's own kernel, Linux 6.1, takes the programs and runs them: tests of the other tiers, run in a guest."""

import pytest
from chosen import CHOSEN

from support.guest import GuestRun


@pytest.mark.parametrize("test", CHOSEN, ids=lambda test: test.partition("::")[2])
def test_it_passes_in_the_guest(guest: GuestRun, test: str) -> None:
    outcomes = guest.outcomes_of(test)
    assert outcomes, "nothing was collected for it"
    failed = {name: outcome.text for name, outcome in outcomes.items() if not outcome.passed}
    assert not failed, "\n".join(f"{name} in the guest:\n{text}" for name, text in failed.items())
