"""One loaded dataplane for each program; a test gets it empty."""

from collections.abc import Iterator

import pytest

from support.packet_bench import PacketBench, packet_bench


@pytest.fixture(scope="session", params=["shoal_xdp", "shoal_tc"])
def built_bench(request: pytest.FixtureRequest) -> Iterator[PacketBench]:
    """Loaded once."""
    with packet_bench(request.param) as bench:
        yield bench


@pytest.fixture
def bench(built_bench: PacketBench) -> PacketBench:
    """Emptied."""
    built_bench.reset()
    return built_bench


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest, bench: PacketBench) -> int:
    """The bench takes and gives frames of this address family."""
    bench.family = request.param
    return bench.family
