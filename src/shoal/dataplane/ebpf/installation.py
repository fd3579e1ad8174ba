"""Services as they stand in the maps: writing one in a single flip.

A service points to an immutable configuration (members with their weights, and a ring). A change writes a new
one beside the old, then moves the pointer with one store. Destinations keep their number as long as connections
refer to them, so that counts and connections outlive any change.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shoal.dataplane.base import DataplaneState, Destination, Service
from shoal.dataplane.ebpf.abi import LIMITS
from shoal.dataplane.ebpf.access import AccessLists
from shoal.dataplane.ebpf.addresses import (
    ENDPOINT_SIZE,
    Endpoint,
    endpoint_bytes,
    endpoint_of,
    filter_bits,
    outside_key,
    packed,
)
from shoal.dataplane.ebpf.configurations import Configurations
from shoal.dataplane.ebpf.cutting import CUT, ENDING, destination_bits, ending_when_removed
from shoal.dataplane.ebpf.listening import Claim, Listening, listeners_in, marks_in, show_claim
from shoal.dataplane.ebpf.numbers import Numbers
from shoal.dataplane.ebpf.objects import Loaded
from shoal.dataplane.ebpf.options import (
    is_one_packet,
    read_timeouts,
    write_flags,
    write_timeouts,
)
from shoal.dataplane.ebpf.persistence import TAKES_PERSISTENT, bits_when_removed, persistence_bits
from shoal.dataplane.ebpf.reading import AVAILABLE, METHOD_NUMBERS, Reader
from shoal.dataplane.ebpf.refusals import refuse_unfit
from shoal.dataplane.ebpf.reverses import Reverses
from shoal.dataplane.ebpf.tables import packing
from shoal.dataplane.ebpf.thresholds import Thresholds
from shoal.dataplane.ebpf.ticks import now_in_ticks, seconds_until, tick_after
from shoal.dataplane.ebpf.tunnels import Tunnels
from shoal.errors import ConfigError, ShoalError
from shoal.model import ConnectionState, ForwardingMethod

IN_USE = 1
RETIRED = 2  # removed, but connections still refer to it
_NAT = METHOD_NUMBERS[ForwardingMethod.NAT]
_DESTINATION = packing("struct destination", ENDPOINT_SIZE, ("flags", "in_use", "service", "method"))


class Installation:
    """The services in the maps of one loaded dataplane."""

    def __init__(self, loaded: Loaded, tunnels: Tunnels) -> None:
        self._tunnels = tunnels
        self._loaded = loaded
        self.destinations = loaded.table("destinations")
        self.loads = loaded.table("loads")
        self.services = loaded.table("services")
        self._filter = loaded.table("filter")
        self._listening = Listening(loaded)
        self._access = AccessLists(loaded.dictionary("access"))
        self._configs = Configurations(loaded, self._access, fix=self._fix)
        self._destination_counters = loaded.counters("destination_counters")
        self._service_counters = loaded.counters("service_counters")
        self.thresholds = Thresholds(loaded)
        self._reader = Reader(
            loaded, tunnels, self.thresholds, listening=self._listening, access=self._access
        )
        self._reverses = Reverses(loaded.dictionary("reverses"))
        self._make_numbers()
        self.by_name: dict[str, int] = {}
        self._numbers: dict[int, dict[bytes, int]] = {}  # of each service's destinations, by endpoint
        self._retired: dict[int, tuple[int, bytes]] = {}  # destinations: service and endpoint
        self.retired_services: set[int] = set()
        self.bygone = Counter[
            int
        ]()  # what such services counted after their removal, once they are forgotten
        self._owners: dict[Claim, int] = {}
        self._present: dict[int, set[Claim]] = {}
        self._adopted: Mapping[int, tuple[Claim, ...]] | None = None
        self._one_packet: set[int] = set()
        self._marked: set[int] = set()
        self._noted_virtual: set[int] = set()
        self._noted_real: set[int] = set()
        self._take_stock()

    def _make_numbers(self) -> None:
        services, real_servers = "max_virtual_servers", "max_real_servers"
        self._service_numbers = Numbers(len(self.services), what="virtual servers", fix=self._fix(services))
        self._destination_numbers = Numbers(
            len(self.destinations), what="real servers", fix=self._fix(real_servers)
        )

    def _fix(self, limit: str) -> str:
        fix = f"raise {limit} under [dataplane], stop Shoal cleanly and start it again"
        if self._loaded.kept:
            fix += " (the tables in use were made for other limits than those of the configuration)"
        return fix

    def _take_stock(self) -> None:
        """Learn what a predecessor left."""
        rows = list(_DESTINATION.iter_unpack(self.destinations.raw(0, len(self.destinations))))
        for number, (key, _, in_use, service, _) in enumerate(rows):
            if in_use:
                self._numbers.setdefault(service, {})[key] = number
                if in_use == RETIRED:
                    self._retired[number] = service, key
        self._destination_numbers.mark(number for number, row in enumerate(rows) if row[2])
        services = list(self.services.rows("config", "in_use", "name"))
        used = [number for number, (_, in_use, _) in enumerate(services) if in_use]
        ours = {services[number][0] for number in used} - {0}
        self._service_numbers.mark(used)
        self._configs.adopt(ours)
        self._adopt_listeners()
        for number in used:
            if services[number][1] == RETIRED:
                self.retired_services.add(number)
                continue
            self.by_name[services[number][2].split(b"\0")[0].decode()] = number
            if is_one_packet(self._configs[services[number][0]].options):
                self._one_packet.add(number)
            members = [rows[each] for each in self.numbers_of(number)]
            self._claim(number, [(key, method) for key, _, _, _, method in members])

    @property
    def services_end(self) -> int:
        """One more than the highest service number in use."""
        return self._service_numbers.end

    @property
    def destinations_end(self) -> int:
        """One more than the highest destination number in use."""
        return self._destination_numbers.end

    def endpoint(self, number: int) -> Endpoint:
        """Address and port of a destination."""
        return endpoint_of(self.destinations.raw(number, 1)[:ENDPOINT_SIZE])

    def numbers_of(self, service_number: int) -> list[int]:
        """The destinations of a service's present configuration, in order."""
        return self._configs.destinations_of(self.services[service_number].config)

    def put(self, service: Service) -> None:
        """Install or replace a service in one flip. Waits, up to a second, for what quick changes left resting."""
        self._refuse_impossible(service)
        if not self._loaded.ipv6 and _has_ipv6(service):
            self._loaded.use_ipv6()
        now = time.monotonic()
        is_new = service.name not in self.by_name
        number = self._new_service(service.name, now) if is_new else self.by_name[service.name]
        self._reader.forget(service.name)
        try:
            self._install(number, service, now)
        except ShoalError:
            if is_new:
                self.remove(service.name)
            else:
                self._retire_all_but(number, set(self.numbers_of(number)))
            raise

    def _install(self, number: int, service: Service, now: float) -> None:
        keys = [endpoint_bytes(each.address, each.port) for each in service.destinations]
        methods = [METHOD_NUMBERS[service.method_of(each)] for each in service.destinations]
        wanted = {
            key: (method, _flags_of(service, each))
            for key, method, each in zip(keys, methods, service.destinations, strict=True)
        }
        self._note_addresses(service, wanted)
        changed = self._number(number, wanted, now)
        known = self._numbers[number]
        self._tunnels.put(
            (known[key], each)
            for key, each in zip(keys, service.destinations, strict=True)
            if service.method_of(each) is ForwardingMethod.TUNNEL
        )
        for entry, (method, flags) in changed:
            entry.method = method
            entry.flags |= flags & ~ENDING
        for key, each in zip(keys, service.destinations, strict=True):
            self.thresholds.install(known[key], each)
        previous = self.services[number].config
        self.services[number].config = self._configs.write(service, [known[key] for key in keys])
        if previous:
            self._configs.release(previous, time.monotonic())
        for entry, (_, flags) in changed:
            entry.flags = flags
        self._retire_all_but(number, {known[key] for key in keys})
        (self._one_packet.add if service.one_packet else self._one_packet.discard)(number)
        (self._marked.add if service.marks else self._marked.discard)(number)
        self._write_flags()
        self._set_listeners(number, {*service.listeners, *service.marks})
        self._claim(number, [(key, method) for key, (method, _) in wanted.items()])

    def _refuse_impossible(self, service: Service) -> None:
        refuse_unfit(service)
        ours = self.by_name.get(service.name)
        claims: tuple[Claim, ...] = (*service.listeners, *service.marks)
        for listener in claims:
            if (owner := self._owners.get(listener)) is not None and owner != ours:
                names = {number: name for name, number in self.by_name.items()}
                raise ConfigError(
                    where=f"virtual server {service.name}",
                    problem=f"listener {show_claim(listener)} belongs to {names.get(owner, 'another')}",
                    fix="remove it there first",
                )

    def _new_service(self, name: str, now: float) -> int:
        number = self._service_numbers.take(now)
        service = self.services[number]
        service.config = 0
        service.name = name.encode() + b"\0"
        self._service_counters.clear(number)
        service.in_use = IN_USE
        self.by_name[name] = number
        return number

    def _number(
        self, service: int, wanted: Mapping[bytes, tuple[int, int]], now: float
    ) -> list[tuple[Any, tuple[int, int]]]:
        """Give destinations without one a number, and return the others (with method and flags), which may change.

        A new one is complete, and takes no traffic yet.
        """
        known = self._numbers.setdefault(service, {})
        missing = [key for key in wanted if key not in known]
        others = [(self.destinations[known[key]], each) for key, each in wanted.items() if key in known]
        for key in wanted.keys() & known.keys():
            if self._retired.pop(known[key], None) is not None:
                entry = self.destinations[known[key]]
                entry.in_use, entry.drain_until = IN_USE, 0
        taken = self._destination_numbers.take_all(len(missing), now)
        self._destination_counters.clear_all(taken)
        for number, key in zip(taken, missing, strict=True):
            method, flags = wanted[key]
            self.destinations.store_all(number, _DESTINATION.pack(key, flags, IN_USE, service, method))
        known.update(zip(missing, taken, strict=True))
        return others

    def _write_flags(self) -> None:
        settings = self._loaded.table("settings")[0]
        write_flags(settings, loose_replies=bool(self._one_packet), marks=bool(self._marked))

    def _retire_all_but(self, service: int, keep: set[int]) -> None:
        config = self._configs[self.services[service].config]
        bits, cut = bits_when_removed(config), ending_when_removed(config.flags)
        limited = config.drain_timeout and not cut
        until = tick_after(now_in_ticks(), config.drain_timeout) if limited else 0
        for key, number in self._numbers.get(service, {}).items():
            if number not in keep and number not in self._retired:
                entry = self.destinations[number]
                entry.flags = entry.flags & bits | cut
                entry.in_use, entry.drain_until = RETIRED, until
                self._retired[number] = service, key

    def _adopt_listeners(self) -> None:
        """The listeners are those in the map, whoever wrote them."""
        found = self._listening.read()
        if found is self._adopted:
            return
        self._adopted = found
        self._present = {number: set(claims) for number, claims in found.items()}
        self._owners = {each: number for number, claims in found.items() for each in claims}
        self._marked = {number for number, claims in found.items() if marks_in(claims)}

    def _set_listeners(self, number: int, wanted: set[Claim]) -> None:
        present = self._present.setdefault(number, set())
        for listener in wanted - present:
            self._listening.put(listener, number)
            self._owners[listener] = number
            present.add(listener)
        for listener in present - wanted:
            self._listening.delete(listener, number)
            del self._owners[listener]
            present.discard(listener)

    def _claim(self, number: int, members: Sequence[tuple[bytes, int]]) -> None:
        """Note what a service's real servers (endpoint and method) are called outside."""
        known = self._numbers.get(number, {})
        rewritten = [(key, known[key]) for key, method in members if method == _NAT]
        self._reverses.claim(
            number, rewritten, map(outside_key, listeners_in(tuple(self._present.get(number, ()))))
        )

    def set_reverses(self) -> None:
        """After any change: what a real server is called outside, for replies that have no connection here."""
        self._write_flags()
        self._reverses.write()

    def _note_addresses(self, service: Service, endpoints: Mapping[bytes, tuple[int, int]]) -> None:
        """Set the filter's bits. None is ever cleared: a stale one costs a lookup, a missing one a connection."""
        words = self._filter[0]
        _set_bits(
            words.virtual_addresses,
            [packed(each.address) for each in service.listeners],
            self._noted_virtual,
            n_bits=LIMITS["SHOAL_FILTER_BITS"],
        )
        rewritten = [key[:16] for key, (method, _) in endpoints.items() if method == _NAT]
        n_bits = LIMITS["SHOAL_REAL_FILTER_BITS"]
        _set_bits(words.real_addresses, rewritten, self._noted_real, n_bits=n_bits)

    def remove(self, name: str) -> None:
        """Remove a service, if it is there. Its connections go on until they expire."""
        number = self.by_name.pop(name, None)
        if number is None:
            return
        self._reader.forget(name)
        self._set_listeners(number, set())
        self._claim(number, ())
        self._one_packet.discard(number)
        self._marked.discard(number)
        self._retire_all_but(number, set())
        self.services[number].in_use = RETIRED
        self._service_counters.clear(number)
        self.retired_services.add(number)

    def end_drains(self, now: int) -> None:
        """End the connections of removed destinations that were kept until the tick ``now``."""
        for number in self._retired:
            entry = self.destinations[number]
            if entry.drain_until and not seconds_until(entry.drain_until, now):
                entry.flags, entry.drain_until = entry.flags & ~TAKES_PERSISTENT | CUT, 0

    def forget_unused(self) -> None:
        """Free retired destinations and services that no connection refers to any more."""
        now = time.monotonic()
        self._access.purge(now)
        for number, (service, key) in list(self._retired.items()):
            load = self.loads[number]
            if not load.active and not load.inactive:
                self.destinations[number].in_use = 0
                self.thresholds.forget(number)
                self._destination_numbers.release(number, now)
                del self._retired[number], self._numbers[service][key]
        for number in [each for each in self.retired_services if not self._numbers.get(each)]:
            self.bygone.update(dict(enumerate(self._service_counters.read(number))))
            if config := self.services[number].config:
                self._configs.release(config, now)
            self.services[number].in_use = 0
            self._service_numbers.release(number, now)
            self._numbers.pop(number, None)
            self._present.pop(number, None)
            self.retired_services.discard(number)

    def read(self) -> DataplaneState:
        """The services as they stand in the maps."""
        services = self._reader.read(self.by_name)
        self._adopt_listeners()
        return DataplaneState(services=services, timeouts=read_timeouts(self._loaded.table("settings")[0]))

    def set_timeouts(self, timeouts: Mapping[ConnectionState, float]) -> None:
        """Replace the timeouts."""
        write_timeouts(self._loaded.table("settings")[0], timeouts)


def _flags_of(service: Service, destination: Destination) -> int:
    available = AVAILABLE if destination.available else 0
    return available | persistence_bits(service, destination) | destination_bits(service, destination)


def _has_ipv6(service: Service) -> bool:
    return any(each.address.version == 6 for each in service.listeners) or any(
        each.address.version == 6 for each in service.destinations
    )


def _set_bits(words: Any, addresses: Sequence[bytes], noted: set[int], *, n_bits: int) -> None:
    """Set the addresses' bits, but for those that are known to be set."""
    for bit in filter_bits(addresses, n_bits=n_bits) - noted:
        words[bit >> 6] |= 1 << (bit & 63)
        noted.add(bit)
