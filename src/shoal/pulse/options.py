"""Command line of the pulse process."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from shoal.system.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the supervisor tells pulse. ``realtime_priority`` 0 leaves the scheduler alone."""

    config: Path
    router: str
    places: Places
    realtime_priority: int = 50


def parse_options(arguments: list[str]) -> Options:
    """Read the command line; exits with a usage message when it is wrong."""
    usual = Places()
    parser = argparse.ArgumentParser(
        prog="python -m shoal.pulse", description="Heartbeats, election and floating addresses of one router."
    )
    parser.add_argument("--config", type=Path, required=True, help="configuration file")
    parser.add_argument("--router", required=True, help="name of this router in the configuration")
    parser.add_argument("--run-dir", type=Path, default=usual.run)
    parser.add_argument("--state-dir", type=Path, default=usual.state)
    parser.add_argument("--bpf-dir", type=Path, default=usual.pins)
    parser.add_argument(
        "--realtime-priority", type=int, default=50, help="SCHED_FIFO priority, 0 for none (default: 50)"
    )
    given = parser.parse_args(arguments)
    return Options(
        config=given.config,
        router=given.router,
        places=Places(run=given.run_dir, state=given.state_dir, pins=given.bpf_dir),
        realtime_priority=given.realtime_priority,
    )
