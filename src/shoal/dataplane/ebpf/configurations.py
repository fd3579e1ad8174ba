"""Configurations of services: each is written beside the one in force, and immutable once a service points to it."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from shoal.dataplane.base import Service
from shoal.dataplane.ebpf.abi import ffi
from shoal.dataplane.ebpf.access import AccessLists
from shoal.dataplane.ebpf.cutting import cut_bits
from shoal.dataplane.ebpf.numbers import Numbers, Ranges
from shoal.dataplane.ebpf.objects import Loaded
from shoal.dataplane.ebpf.options import write_options
from shoal.dataplane.ebpf.persistence import write_persistence
from shoal.dataplane.ebpf.reading import METHOD_NUMBERS
from shoal.dataplane.ebpf.scheduling import KINDS, SCHEDULER_NAMES, flag_bits, ring_of, shares_of
from shoal.dataplane.ebpf.tables import row_format
from shoal.dataplane.ebpf.thresholds import threshold_bits
from shoal.errors import ConfigError, ShoalError

_MEMBER = row_format("struct member", ("destination",))


class Configurations:
    """With their members, rings and access lists. ``fix`` tells an operator which limit to raise."""

    def __init__(self, loaded: Loaded, access: AccessLists, *, fix: Callable[[str], str]) -> None:
        self._configs = loaded.table("service_configs")
        self._members = loaded.table("members")
        self._rings = loaded.table("rings")
        self._access = access
        self._fix = fix
        services = fix("max_virtual_servers")
        self._numbers = Numbers(len(self._configs), what="service configurations", fix=services)
        self._member_ranges = Ranges(len(self._members), what="real servers", fix=fix("max_real_servers"))
        self._ring_ranges = Ranges(len(self._rings), what="places in scheduling rings", fix=services)

    def __getitem__(self, number: int) -> Any:
        """One of them, as it stands in the map."""
        return self._configs[number]

    def adopt(self, ours: Collection[int]) -> None:
        """Those that a predecessor left in force."""
        rows = list(self._configs.rows("members", "n_members", "ring", "n_ring"))
        self._numbers.mark(ours)
        self._member_ranges.mark(rows[number][:2] for number in ours)
        self._ring_ranges.mark(rows[number][2:] for number in ours)
        self._access.adopt(ours)

    def destinations_of(self, number: int) -> list[int]:
        """The destinations of the members of one, in order."""
        config = self._configs[number]
        members = self._members.raw(config.members, config.n_members)
        return [destination for (destination,) in _MEMBER.iter_unpack(members)]

    def write(self, service: Service, destinations: Sequence[int]) -> int:
        """The number of a new one. Waits, up to a second, for what quick changes left resting. Raises ConfigError."""
        shares = shares_of(service)
        ring = ring_of(service, shares, destinations)
        now = self._await_room(len(destinations), len(ring))
        number = self._numbers.take(now)
        config = self._configs[number]
        config.n_ring = config.n_members = 0
        try:
            self._write_access(number, service, now)
            config.ring, config.n_ring = self._ring_ranges.take(len(ring), now), len(ring)
            config.members = self._member_ranges.take(len(destinations), now)
            config.n_members = len(destinations)
        except ShoalError:
            self.release(number, now)
            raise
        self._rings.store_all(config.ring, ffi.buffer(ffi.new("__u64[]", ring)))  # each has 8 bytes of room
        self._write_members(config.members, service, destinations, shares)
        config.scheduler = KINDS[service.scheduler]
        config.scheduler_name = SCHEDULER_NAMES.index(service.scheduler)
        config.flags = flag_bits(service.scheduler_flags) | threshold_bits(service) | cut_bits(service)
        write_persistence(config, service.persistence)
        config.mss_clamp = int(service.mss_clamp)
        config.total_weight = sum(shares)
        config.method = METHOD_NUMBERS[service.method]
        config.cursor = 0
        write_options(config, service)
        return number

    def release(self, number: int, now: float) -> None:
        """No service points to it any more; a packet may still look."""
        config = self._configs[number]
        self._member_ranges.release(config.members, config.n_members, now)
        self._ring_ranges.release(config.ring, config.n_ring, now)
        self._numbers.release(number, now)
        self._access.release(number, now)

    def _write_members(
        self, first: int, service: Service, destinations: Sequence[int], shares: Sequence[int]
    ) -> None:
        rows = [
            (destination, each.weight, share > 0, 0)
            for destination, each, share in zip(destinations, service.destinations, shares, strict=True)
        ]
        self._members.store_all(first, ffi.buffer(ffi.new("struct member[]", rows)))

    def _write_access(self, number: int, service: Service, now: float) -> None:
        self._access.purge(now)
        try:
            self._access.write(number, service.admission)
        except ShoalError as error:
            raise ConfigError(
                where=f"virtual server {service.name}",
                problem="no room for its entries of allow and deny",
                fix=self._fix("max_access_entries"),
            ) from error

    def _await_room(self, n_members: int, n_ring: int) -> float:
        """Wait for what is resting, if that helps; the time then."""
        while True:
            now = time.monotonic()
            wait = max(
                self._member_ranges.wait(n_members, now),
                self._ring_ranges.wait(n_ring, now),
                self._numbers.wait(now),
            )
            if wait == 0.0:
                return now
            time.sleep(wait)
