"""``python -m shoal.pulse``: heartbeats, election and floating addresses of one router."""

import sys

from shoal import config
from shoal.errors import ShoalError
from shoal.pulse.options import parse_options
from shoal.pulse.ownership import LeaseOpener
from shoal.pulse.shell import Pulse
from shoal.pulse.signals import Signals
from shoal.system.lease import Lease
from shoal.system.process import ProcessLock, set_process_name
from shoal.system.realtime import freeze_garbage, make_realtime


def main(arguments: list[str], *, open_lease: LeaseOpener = Lease.open) -> int:
    """Run until SIGTERM; the exit status. ``open_lease`` finds the dataplane's lease."""
    options = parse_options(arguments)
    set_process_name("shoal-pulse")
    signals = Signals()
    try:
        lock = ProcessLock.acquire(options.places.lock("pulse"), what="shoal-pulse")
        pulse = Pulse(
            options, load=lambda: config.load(options.config), open_lease=open_lease, signals=signals
        )
        notes = make_realtime(options.realtime_priority)
        freeze_garbage()
        pulse.run(notes)
        lock.release()
    except ShoalError as error:
        print(f"shoal-pulse: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
