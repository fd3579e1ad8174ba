"""Which floating addresses to add and which to remove: desired minus present, by whose they are."""

from collections.abc import Iterable
from dataclasses import dataclass

from shoal.model import Address, Interface

TAG = 0x53  # IFA_PROTO of every address that Shoal adds (include/uapi/linux/if_addr.h, kernel 5.18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address on an interface (by the interface's index)."""

    index: int
    address: Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """An address that is configured now, and the protocol number that its maker left on it (0: none)."""

    place: Place
    protocol: int

    @property
    def ours(self) -> bool:
        """Whether this Shoal or a predecessor of it added it."""
        return self.protocol == TAG


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to do. ``foreign`` are wanted addresses that somebody else configured: served, never removed."""

    add: tuple[Place, ...] = ()
    remove: tuple[Place, ...] = ()
    foreign: tuple[Place, ...] = ()


def acquire(desired: Iterable[Place], present: Iterable[Present]) -> Changes:
    """Have exactly the desired addresses. Leftovers of another configuration that carry our tag go."""
    wanted = {_key(place): place for place in desired}
    there = {_key(entry.place): entry for entry in present}
    return Changes(
        add=tuple(place for key, place in wanted.items() if key not in there),
        remove=tuple(entry.place for key, entry in there.items() if entry.ours and key not in wanted),
        foreign=tuple(entry.place for key, entry in there.items() if not entry.ours and key in wanted),
    )


def release(present: Iterable[Present]) -> Changes:
    """Have none of ours."""
    return Changes(remove=tuple(entry.place for entry in present if entry.ours))


def holds_all(desired: Iterable[Place], present: Iterable[Present]) -> bool:
    """Whether every desired address is there with our tag: a predecessor was serving."""
    ours = {_key(entry.place) for entry in present if entry.ours}
    wanted = {_key(place) for place in desired}
    return bool(wanted) and wanted <= ours


def _key(place: Place) -> tuple[int, Address]:
    """The prefix length does not matter: the address is answered for either way."""
    return place.index, place.address.ip
