"""What a scheduler is, and the registry of them.

A scheduler is the pure reference that every dataplane's decisions are checked against, choice by choice. It
has the semantics of the kernel's IPVS scheduler of the same name (``net/netfilter/ipvs/ip_vs_<name>.c``),
with destinations in the order of the configuration.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from shoal.errors import NotFoundError

MAX_RING = 16_384
"""Longest ring; four bytes an entry make 64 KiB for each service."""

Ring = Callable[[Sequence[int]], tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a scheduler knows of a destination. ``weight`` 0 (quiesced, or unavailable): it is not a
    candidate.

    ``active`` and ``inactive`` are its connections right now.
    """

    weight: int
    active: int = 0
    inactive: int = 0


class Scheduler(ABC):
    """Chooses a destination for a new connection, and remembers what its order depends on.

    ``ring`` is set where the choices do not depend on load: it gives, for weights, one full period of the
    choices as destination indexes, which a packet path can walk with a cursor.
    """

    name: ClassVar[str]
    ring: ClassVar[Ring | None] = None

    @abstractmethod
    def choose(self, loads: Sequence[Load]) -> int | None:
        """The index of the destination for a new connection; None when there is no candidate."""


_REGISTRY: dict[str, type[Scheduler]] = {}


def register(scheduler: type[Scheduler]) -> type[Scheduler]:
    """Make a scheduler known by its name."""
    _REGISTRY[scheduler.name] = scheduler
    return scheduler


def names() -> tuple[str, ...]:
    """The names of all schedulers, sorted."""
    return tuple(sorted(_REGISTRY))


def scheduler_class(name: str) -> type[Scheduler]:
    """The scheduler of that name. Raises NotFoundError."""
    try:
        return _REGISTRY[name]
    except KeyError:
        problem = f"there is no scheduler {name!r}"
        raise NotFoundError(problem=problem, fix=f"Use one of {', '.join(names())}.") from None
