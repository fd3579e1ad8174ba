"""``shoal run`` with the real lvsd over the fake dataplane, and stand-ins for nanny and pulse.

``python -m support.supervised CONFIG RUN_DIR STATE_DIR [LVSD_COMMAND...]``
"""

import sys
from pathlib import Path

from shoal.errors import ShoalError
from shoal.supervisor.children import ChildCommand, Service, child_table
from shoal.supervisor.run import run
from shoal.system.places import Places


def table(service: Service) -> tuple[ChildCommand, ...]:
    """lvsd is the real one, unless another command is given."""
    lvsd = child_table(service)[0]
    if len(sys.argv) > 4:
        lvsd = ChildCommand(name="lvsd", argv=tuple(sys.argv[4:]))
    places = service.places
    standins = (
        ChildCommand(
            name=name,
            argv=(
                sys.executable,
                "-m",
                "support.standin_child",
                f"shoal-{name}",
                str(places.run),
                str(places.config),
            ),
        )
        for name in ("nanny", "pulse")
    )
    return (lvsd, *standins)


def main() -> int:
    """As the command line does."""
    places = Places(run=Path(sys.argv[2]), state=Path(sys.argv[3]), pins=Path(sys.argv[3]) / "pins")
    try:
        return run(Path(sys.argv[1]), router=None, places=places, dataplane="fake", table=table)
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
