"""The ownership lease, followed through restarts and upgrades of the dataplane that it lives in."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from shoal.model import Address
from shoal.system.lease import NOT_IN_USE, PIN_NAME

_MISSES_TOLERATED = 3  # checks for which a pin may be absent while a dataplane is replaced
_EXPIRED = 1


class OpenLease(Protocol):
    """What pulse needs of a lease (``system/lease.py``)."""

    def set_addresses(self, addresses: Sequence[Address]) -> None:
        """Name the floating addresses that the lease covers."""

    def renew(self, until: int) -> None:
        """Hold the addresses until this time, CLOCK_BOOTTIME nanoseconds."""

    def begin_handover(self, until: int) -> None:
        """Forward strange connections until this time."""

    def close(self) -> None:
        """Let go of it."""


LeaseOpener = Callable[[Path], OpenLease | None]


class Ownership:
    """Keeps the lease of the dataplane that is installed now. ``ready``: there is one."""

    def __init__(self, pins: Path, open_lease: LeaseOpener) -> None:
        self._pins = pins
        self._open_lease = open_lease
        self._lease: OpenLease | None = None
        self._inode = 0
        self._misses = 0
        self._addresses: tuple[Address, ...] = ()
        self._until = NOT_IN_USE
        self._handover_until = 0

    @property
    def ready(self) -> bool:
        """Whether a dataplane is installed."""
        return self._lease is not None

    def check(self) -> None:
        """See whether the dataplane came, went or was replaced; a new one gets all that the old one had."""
        inode = self._pinned_inode()
        if self._lease is not None and inode == self._inode:
            self._misses = 0
            return
        if self._lease is not None and not inode:
            self._misses += 1
            if self._misses <= _MISSES_TOLERATED:
                return
        self._misses = 0
        self._reopen(inode)

    def set_addresses(self, addresses: tuple[Address, ...]) -> None:
        """The addresses that the lease covers."""
        self._addresses = addresses
        if self._lease is not None:
            self._lease.set_addresses(addresses)

    def renew(self, until: float | None) -> None:
        """Hold the lease until this CLOCK_BOOTTIME (seconds); None: it is not in use."""
        self._until = NOT_IN_USE if until is None else max(int(until * 1e9), _EXPIRED)
        if self._lease is not None:
            self._lease.renew(self._until)

    def begin_handover(self, until: float) -> None:
        """Forward strange connections until this time."""
        self._handover_until = int(until * 1e9)
        if self._lease is not None:
            self._lease.begin_handover(self._handover_until)

    def close(self) -> None:
        """Let go of the lease; it stays as it is, and runs out."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def _reopen(self, inode: int) -> None:
        self.close()
        self._lease, self._inode = self._open_lease(self._pins), inode
        if self._lease is None:
            return
        self._lease.set_addresses(self._addresses)
        if self._until != NOT_IN_USE:  # before the first word of the election a predecessor's lease runs on
            self._lease.renew(self._until)
        if self._handover_until:
            self._lease.begin_handover(self._handover_until)

    def _pinned_inode(self) -> int:
        try:
            return (self._pins / PIN_NAME).stat().st_ino
        except OSError:
            return 0
