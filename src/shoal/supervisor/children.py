"""Which children there are, how each is started and how each is asked to end."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shoal.system.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCommand:
    """A child's name and command.

    ``stop_signal`` asks it to end; ``stop_timeout`` seconds later it is killed. ``clear`` is run at a clean
    stop when the child could not clear up itself, because it was dead or had to be killed.
    """

    name: str
    argv: tuple[str, ...]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 2.0
    clear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is run: the operator's file, which router this is, where things are kept, which dataplane."""

    source: Path
    router: str
    places: Places
    dataplane: str
    supervisor: int


ChildTable = Callable[[Service], tuple[ChildCommand, ...]]
"""Children in the order in which they are started; they are stopped in the reverse order."""


def child_table(service: Service) -> tuple[ChildCommand, ...]:
    """lvsd, nanny, pulse. A clean stop ends ``pulse`` first (it hands over), ``lvsd`` and dataplane last."""
    common = ("--config", str(service.places.config), "--router", service.router, *service.places.arguments())
    more = ("--source", str(service.source), "--dataplane", service.dataplane)
    lvsd = (*_python("shoal.api"), *common, *more, "--supervisor", str(service.supervisor))
    return (
        ChildCommand(
            name="lvsd",
            argv=lvsd,
            stop_signal=signal.SIGUSR1,
            stop_timeout=5.0,
            clear=(*lvsd, "--remove-dataplane"),
        ),
        ChildCommand(name="nanny", argv=(*_python("shoal.nanny"), *common)),
        ChildCommand(name="pulse", argv=(*_python("shoal.pulse"), *common)),
    )


def _python(module: str) -> tuple[str, ...]:
    """``-P``: a folder ``shoal`` where the operator happens to stand is not taken for this package."""
    return sys.executable, "-P", "-m", module
