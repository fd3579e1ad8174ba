"""The ``lvsd`` process: ``python -m shoal.api``, started by the supervisor."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from shoal.api.server import serve
from shoal.errors import ShoalError
from shoal.lvsd.masquerading import TABLE
from shoal.lvsd.opening import Settings, dataplane_opener
from shoal.lvsd.shell import Lvsd
from shoal.system.nftables import OwnTable
from shoal.system.places import Places
from shoal.system.process import ProcessLock, set_process_name


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    default = Places()
    parser = argparse.ArgumentParser(prog="shoal-lvsd", description="The owner of the desired state.")
    parser.add_argument("--config", type=Path, required=True, help="the checked configuration to read")
    parser.add_argument("--source", type=Path, help="the operator's file, of which --config is a copy")
    parser.add_argument("--router", required=True, help="which router of the cluster this is")
    parser.add_argument("--run-dir", type=Path, default=default.run)
    parser.add_argument("--state-dir", type=Path, default=default.state)
    parser.add_argument("--bpf-dir", type=Path, default=default.pins)
    parser.add_argument("--dataplane", choices=("ebpf", "fake"), default="ebpf")
    parser.add_argument("--remove-dataplane", action="store_true", help="only take it out of the kernel")
    parser.add_argument("--supervisor", type=int, default=0, help="process id of the supervisor")
    return parser.parse_args(argv)


async def _run(arguments: argparse.Namespace, places: Places) -> None:
    settings = Settings(
        config=arguments.config,
        source=arguments.source or arguments.config,
        router=arguments.router,
        places=places,
        supervisor=arguments.supervisor,
    )
    table = OwnTable(TABLE) if arguments.dataplane == "ebpf" else None
    lvsd = Lvsd(settings, open_dataplane=dataplane_opener(arguments.dataplane), rules=table)
    if arguments.remove_dataplane:
        lvsd.stop(remove=True)
    await serve(lvsd, socket_path=places.api_socket)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the process; returns its exit status."""
    arguments = _arguments(argv)
    places = Places(run=arguments.run_dir, state=arguments.state_dir, pins=arguments.bpf_dir)
    set_process_name("shoal-lvsd")
    try:
        lock = ProcessLock.acquire(places.lock("lvsd"), what="lvsd")
        asyncio.run(_run(arguments, places))
        lock.release()
    except ShoalError as error:
        print(f"lvsd: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
