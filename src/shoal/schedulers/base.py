"""What a scheduler is, and the registry of them.

A scheduler is the pure reference that every dataplane's decisions are checked against, choice by choice. It
has the semantics of the kernel's IPVS scheduler of the same name (``net/netfilter/ipvs/ip_vs_<name>.c``),
with destinations in the order of the configuration.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from shoal.errors import ConfigError, NotFoundError
from shoal.model import Address

MAX_RING = 16_384
"""Longest ring; four bytes an entry make 64 KiB for each service."""

_NO_ADDRESS = IPv4Address(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a scheduler knows of a destination. ``weight`` is the configured one, 0 when it is quiesced.

    ``active`` and ``inactive`` are its connections right now; ``overloaded``: as many as its thresholds allow.
    Only mh, lblc and lblcr look at the endpoint.
    """

    weight: int
    active: int = 0
    inactive: int = 0
    available: bool = True
    overloaded: bool = False
    address: Address = _NO_ADDRESS
    port: int = 0

    @property
    def share(self) -> int:
        """The weight that counts for new connections: 0 means that it is not a candidate."""
        return self.weight if self.available and not self.overloaded else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a scheduler knows of the connection that a client asks for.

    ``chance`` are two random numbers from 0 to 2^32 - 1, drawn for this request; ``now`` is in seconds.
    """

    client: Address = _NO_ADDRESS
    client_port: int = 0
    virtual_address: Address = _NO_ADDRESS
    chance: tuple[int, int] = (0, 0)
    now: float = 0.0


ANY_REQUEST = Request()
"""For schedulers that do not look at the request."""

Ring = Callable[[Sequence[int]], tuple[int, ...]]
Table = Callable[[Sequence[Load]], tuple[int, ...]]


class Scheduler(ABC):
    """Chooses a destination for a new connection, and remembers what its order depends on.

    ``ring`` is set where the choices depend on neither load nor request: it gives, for weights, one full
    period of the choices as destination indexes, which a packet path can walk with a cursor. ``table`` is set
    where a hash of the request chooses: it gives the bucket table, destination indexes whether or not they
    are available. ``known_flags`` are the scheduler flags that this one takes. ``outlives_changes``: what it
    remembers still holds when its service is changed.
    """

    name: ClassVar[str]
    known_flags: ClassVar[tuple[str, ...]] = ()
    outlives_changes: ClassVar[bool] = False
    ring: ClassVar[Ring | None] = None
    table: ClassVar[Table | None] = None

    def __init__(self, *, flags: Sequence[str] = ()) -> None:
        """Raises ConfigError for a flag that it does not take."""
        for flag in flags:
            if flag not in self.known_flags:
                known = f"Use {' or '.join(self.known_flags)}." if self.known_flags else "Leave flags out."
                raise ConfigError(problem=f"the scheduler {self.name} has no flag {flag}", fix=known)
        self.flags = frozenset(flags)

    @abstractmethod
    def choose(self, loads: Sequence[Load], request: Request = ANY_REQUEST) -> int | None:
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
