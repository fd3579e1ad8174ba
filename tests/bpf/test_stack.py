"""The programs fit the stack of the oldest kernel that they are for, Linux 6.1."""

import pytest

from shoal.dataplane.ebpf import objects
from shoal.dataplane.ebpf.abi import built
from support.stack_depth import LIMIT, deepest_chains


@pytest.mark.parametrize("name", objects.OBJECTS)
def test_no_chain_of_calls_takes_more_stack_than_there_is(name: str):
    chains = deepest_chains(built(name))
    assert chains
    assert {program: chain for program, chain in chains.items() if chain.depth > LIMIT} == {}
