"""Keeps last known health in a file: at most once a second, and at the end."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from shoal.errors import PeerError
from shoal.model import Health
from shoal.nanny import memory
from shoal.nanny.engine import Engine, Timed
from shoal.nanny.machine import Remembered
from shoal.nanny.targets import Targets

SAVE_INTERVAL = 1.0


def unix_offset(engine: Engine) -> float:
    """What to add to the engine's clock for Unix time, right now: the latter may be set at any moment."""
    return time.time() - engine.now()


class Keeper(Timed):
    """``complain`` is told what the file system refuses; asking and reporting go on without the file."""

    __slots__ = ("_complain", "_engine", "_path", "_saved_at", "_targets")

    def __init__(
        self, engine: Engine, path: Path, *, targets: Targets, complain: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._engine = engine
        self._path = path
        self._targets = targets
        self._complain = complain
        self._saved_at = engine.now() - SAVE_INTERVAL

    def restore(self) -> Mapping[str, Remembered]:
        """What is remembered, by the questions' identities; nothing when there is no file or it is torn."""
        try:
            found = memory.decode(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, PeerError) as error:
            self._complain(f"starting without last known health: {error}")
            return {}
        offset = unix_offset(self._engine)
        return {
            identity: Remembered(Health(known.health), known.reason, known.since - offset)
            for identity, known in found.items()
        }

    def want_save(self) -> None:
        """Save soon."""
        if self.deadline is None:
            self.deadline = max(self._engine.now(), self._saved_at + SAVE_INTERVAL)
            self._engine.wake(self)

    def due(self, now: float) -> None:
        """Save what was wanted."""
        self.save()

    def save(self) -> None:
        """Replace the file in one step.

        It is not synced: a loop that waits for a disk does not probe, and a file torn by a power loss is
        ignored.
        """
        self.deadline = None
        self._saved_at = self._engine.now()
        content = memory.encode(self._targets.last_known(unix_offset=unix_offset(self._engine)))
        partial = self._path.with_name(self._path.name + ".partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(content)
            partial.replace(self._path)
        except OSError as error:
            self._complain(f"last known health is not saved: {error}")
