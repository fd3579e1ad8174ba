"""Services as they stand in the maps: writing one in a single flip, and reading them all back.

A service points to an immutable configuration (members with their weights, and a ring). A change writes a new
one beside the old, then moves the pointer with one store. Destinations keep their number as long as connections
refer to them, so that counts and connections outlive any change.
"""

import time
from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any

from shoal.dataplane.base import DataplaneState, Destination, Service
from shoal.dataplane.ebpf.abi import DESTINATION_FLAGS, LIMITS, METHODS, ffi
from shoal.dataplane.ebpf.numbers import Numbers, Ranges
from shoal.dataplane.ebpf.objects import Loaded
from shoal.dataplane.ebpf.scheduling import (
    KINDS,
    SCHEDULER_NAMES,
    flag_bits,
    flags_of,
    refuse_unknown,
    ring_of,
    total_weight,
)
from shoal.errors import ConfigError, ShoalError
from shoal.model import ForwardingMethod, Listener, Protocol

METHOD_NUMBERS = {
    method: METHODS["SHOAL_" + method.name]
    for method in ForwardingMethod
    if "SHOAL_" + method.name in METHODS
}
_METHODS = {number: method for method, number in METHOD_NUMBERS.items()}
PROTOCOL_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17}
PROTOCOLS = {number: protocol for protocol, number in PROTOCOL_NUMBERS.items()}
IN_USE = 1
RETIRED = 2  # removed, but connections still refer to it
_AVAILABLE = DESTINATION_FLAGS["SHOAL_AVAILABLE"]

Endpoint = tuple[IPv4Address, int]


def network_address(address: IPv4Address) -> int:
    """An address as the maps hold it: its four bytes in network order, read as a native number."""
    return int.from_bytes(address.packed, "little")


def network_port(port: int) -> int:
    """A port as the maps hold it."""
    return int.from_bytes(port.to_bytes(2, "big"), "little")


def address_of(number: int) -> IPv4Address:
    """The address of a map's field."""
    return IPv4Address(int(number).to_bytes(4, "little"))


port_of = network_port  # swapping two bytes undoes itself


def listener_key(listener: Listener) -> Any:
    """A listener as a key of the maps."""
    return endpoint_key((listener.address, listener.port), listener.protocol)


def endpoint_key(endpoint: Endpoint, protocol: Protocol) -> Any:
    """An endpoint and protocol as a key of the maps."""
    key = ffi.new("struct listener_key *")
    key.address = network_address(endpoint[0])
    key.port = network_port(endpoint[1])
    key.protocol = PROTOCOL_NUMBERS[protocol]
    return key


def _refuse_unbuilt_methods(service: Service) -> None:
    """Raises ConfigError for a forwarding method that the programs do not have."""
    for destination in service.destinations:
        if (method := service.method_of(destination)) not in METHOD_NUMBERS:
            raise ConfigError(
                where=f"virtual server {service.name}",
                problem=f"the eBPF dataplane does not forward by {method} yet",
                fix=f"use one of {', '.join(METHOD_NUMBERS)}",
            )


class Installation:
    """The services in the maps of one loaded dataplane."""

    def __init__(self, loaded: Loaded) -> None:
        self.destinations = loaded.table("destinations")
        self.loads = loaded.table("loads")
        self.services = loaded.table("services")
        self._configs = loaded.table("service_configs")
        self._members = loaded.table("members")
        self._rings = loaded.table("rings")
        self._filter = loaded.table("filter")
        self._listeners = loaded.dictionary("listeners")
        self._reverses = loaded.dictionary("reverses")
        self._destination_counters = loaded.counters("destination_counters")
        self._service_counters = loaded.counters("service_counters")
        self._service_numbers = Numbers(len(self.services), what="virtual servers")
        self._config_numbers = Numbers(len(self._configs), what="service configurations")
        self._destination_numbers = Numbers(len(self.destinations), what="real servers")
        self._member_ranges = Ranges(len(self._members), what="real servers")
        self._ring_ranges = Ranges(len(self._rings), what="places in scheduling rings")
        self.by_name: dict[str, int] = {}
        self._numbers: dict[tuple[int, Endpoint], int] = {}
        self._present = self._read_listeners()
        self._take_stock()

    def _take_stock(self) -> None:
        """Learn what a predecessor left."""
        for number in range(1, len(self.services)):
            service = self.services[number]
            if not service.in_use:
                continue
            self._service_numbers.mark(number)
            if service.in_use == IN_USE:
                self.by_name[ffi.string(service.name).decode()] = number
            config = self._configs[service.config]
            self._config_numbers.mark(service.config)
            self._member_ranges.mark([(config.members, config.n_members)])
            self._ring_ranges.mark([(config.ring, config.n_ring)])
        for number in range(1, len(self.destinations)):
            destination = self.destinations[number]
            if destination.in_use:
                self._destination_numbers.mark(number)
                self._numbers[destination.service, self.endpoint(number)] = number

    def endpoint(self, number: int) -> Endpoint:
        """Address and port of a destination."""
        destination = self.destinations[number]
        return address_of(destination.address), port_of(destination.port)

    def members_of(self, service_number: int) -> Iterable[Any]:
        """The members of a service's present configuration."""
        config = self._configs[self.services[service_number].config]
        return [self._members[config.members + i] for i in range(config.n_members)]

    def _rewritten_members_of(self, service_number: int) -> Iterable[Any]:
        members = self.members_of(service_number)
        return [each for each in members if self._method_of(each) is ForwardingMethod.NAT]

    def _method_of(self, member: Any) -> ForwardingMethod:
        return _METHODS[self.destinations[member.destination].method]

    def put(self, service: Service) -> None:
        """Install or replace a service in one flip."""
        self._refuse_impossible(service)
        now = time.monotonic()
        is_new = service.name not in self.by_name
        number = self._new_service(service.name, now) if is_new else self.by_name[service.name]
        try:
            self._install(number, service, now)
        except ShoalError:
            if is_new:
                self.remove(service.name)
            else:
                self._retire_all_but(number, {member.destination for member in self.members_of(number)})
            raise

    def _install(self, number: int, service: Service, now: float) -> None:
        wanted = {destination.endpoint: destination for destination in service.destinations}
        numbers = {endpoint: self._number_of(number, endpoint, now) for endpoint in wanted}
        self._note_addresses(service)
        for endpoint, destination in wanted.items():
            self.destinations[numbers[endpoint]].method = METHOD_NUMBERS[service.method_of(destination)]
            if destination.available:
                self.destinations[numbers[endpoint]].flags |= _AVAILABLE
        self._flip(number, service, numbers, now)
        for endpoint, destination in wanted.items():
            if not destination.available:
                self.destinations[numbers[endpoint]].flags &= ~_AVAILABLE
        self._retire_all_but(number, set(numbers.values()))
        self._set_listeners(number, set(service.listeners))

    def _refuse_impossible(self, service: Service) -> None:
        refuse_unknown(service)
        _refuse_unbuilt_methods(service)
        owners = {listener: owner for owner, listeners in self._present.items() for listener in listeners}
        ours = self.by_name.get(service.name)
        names = {number: name for name, number in self.by_name.items()}
        for listener in service.listeners:
            if (owner := owners.get(listener)) is not None and owner != ours:
                raise ConfigError(
                    where=f"virtual server {service.name}",
                    problem=f"listener {listener} belongs to {names.get(owner, 'another')}",
                    fix="remove it there first",
                )
        if len(service.destinations) > LIMITS["SHOAL_MAX_PER_SERVICE"]:
            raise ConfigError(
                where=f"virtual server {service.name}",
                problem=f"{len(service.destinations)} real servers",
                fix=f"use at most {LIMITS['SHOAL_MAX_PER_SERVICE']}",
            )
        if len(service.name.encode()) >= LIMITS["SHOAL_NAME_SIZE"]:
            raise ConfigError(
                where=f"virtual server {service.name}",
                problem="its name is too long",
                fix=f"use at most {LIMITS['SHOAL_NAME_SIZE'] - 1} bytes",
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

    def _number_of(self, service: int, endpoint: Endpoint, now: float) -> int:
        """The destination's number: the one it has, or a new one. A new one takes no traffic yet."""
        if (known := self._numbers.get((service, endpoint))) is not None:
            self.destinations[known].in_use = IN_USE
            return known
        number = self._destination_numbers.take(now)
        self._destination_counters.clear(number)
        fresh = ffi.new("struct destination *")
        fresh.address = network_address(endpoint[0])
        fresh.port = network_port(endpoint[1])
        fresh.service = service
        fresh.in_use = IN_USE
        self.destinations.store(number, fresh[0])
        self._numbers[service, endpoint] = number
        return number

    def _flip(self, number: int, service: Service, numbers: dict[Endpoint, int], now: float) -> None:
        """Write the new configuration beside the old one, then point to it."""
        n_members = len(service.destinations)
        ring = ring_of(service, [numbers[each.endpoint] for each in service.destinations])
        members = self._member_ranges.take(n_members, now)
        ring_begin = self._ring_ranges.take(len(ring), now)
        for position, destination in enumerate(service.destinations):
            member = self._members[members + position]
            member.destination = numbers[destination.endpoint]
            member.weight = destination.weight
            member.candidate = destination.takes_new
        for position, entry in enumerate(ring):
            self._rings.store(ring_begin + position, entry)
        config_number = self._config_numbers.take(now)
        config = self._configs[config_number]
        config.scheduler = KINDS[service.scheduler]
        config.scheduler_name = SCHEDULER_NAMES.index(service.scheduler)
        config.flags = flag_bits(service.scheduler_flags)
        config.total_weight = total_weight(service)
        config.members, config.n_members = members, n_members
        config.ring, config.n_ring = ring_begin, len(ring)
        config.method = METHOD_NUMBERS[service.method]
        config.cursor = 0
        previous = self.services[number].config
        self.services[number].config = config_number
        if previous:
            self._release_config(previous, now)

    def _release_config(self, config_number: int, now: float) -> None:
        config = self._configs[config_number]
        self._member_ranges.release(config.members, config.n_members, now)
        self._ring_ranges.release(config.ring, config.n_ring, now)
        self._config_numbers.release(config_number, now)

    def _retire_all_but(self, service: int, keep: set[int]) -> None:
        for (owner, _), number in self._numbers.items():
            if owner == service and number not in keep:
                self.destinations[number].flags &= ~_AVAILABLE
                self.destinations[number].in_use = RETIRED

    def _read_listeners(self) -> dict[int, set[Listener]]:
        """The listeners in the map, by service number."""
        found: dict[int, set[Listener]] = {}
        for key, value in self._listeners.items():
            listener = Listener(
                address=address_of(key.address), port=port_of(key.port), protocol=PROTOCOLS[key.protocol]
            )
            found.setdefault(value.service, set()).add(listener)
        return found

    def _set_listeners(self, number: int, wanted: set[Listener]) -> None:
        value = ffi.new("struct listener *")
        value.service = number
        present = self._present.get(number, set())
        for listener in sorted(wanted - present):
            self._listeners.put(listener_key(listener), value)
            for other in self._present.values():
                other.discard(listener)
        for listener in sorted(present - wanted):
            self._listeners.delete(listener_key(listener))
        self._present[number] = set(wanted)

    def _only_names(self) -> dict[tuple[Endpoint, Protocol], tuple[Listener, int]]:
        """Endpoints that stand for exactly one listener of a protocol: that listener and their number.

        One under direct routing stands for none: it answers in the virtual address's own name.
        """
        names: dict[tuple[Endpoint, Protocol], list[tuple[Listener, int]]] = {}
        for number in self.by_name.values():
            for listener in self._present.get(number, ()):
                for member in self._rewritten_members_of(number):
                    key = self.endpoint(member.destination), listener.protocol
                    names.setdefault(key, []).append((listener, member.destination))
        return {key: found[0] for key, found in names.items() if len(found) == 1}

    def set_reverses(self) -> None:
        """After any change: what a real server is called outside, for replies around a hand-over."""
        wanted = self._only_names()
        present = {
            ((address_of(key.address), port_of(key.port)), PROTOCOLS[key.protocol])
            for key, _ in self._reverses.items()
        }
        for endpoint, protocol in present - wanted.keys():
            self._reverses.delete(endpoint_key(endpoint, protocol))
        for (endpoint, protocol), (listener, destination) in wanted.items():
            value = ffi.new("struct reverse *")
            value.virtual_address = network_address(listener.address)
            value.virtual_port = network_port(listener.port)
            value.destination = destination
            self._reverses.put(endpoint_key(endpoint, protocol), value)

    def _note_addresses(self, service: Service) -> None:
        """Set the filter's bits. None is ever cleared: a stale one costs a lookup, a missing one a connection."""
        for listener in service.listeners:
            _set_bit(self._filter[0].virtual_addresses, listener.address)
        for destination in service.destinations:
            if service.method_of(destination) is ForwardingMethod.NAT:
                _set_bit(self._filter[0].real_addresses, destination.address)

    def remove(self, name: str) -> None:
        """Remove a service, if it is there. Its connections go on until they expire."""
        number = self.by_name.pop(name, None)
        if number is None:
            return
        self._set_listeners(number, set())
        self._retire_all_but(number, set())
        self.services[number].in_use = RETIRED

    def forget_unused(self) -> None:
        """Free retired destinations and services that no connection refers to any more."""
        now = time.monotonic()
        for (service, endpoint), number in list(self._numbers.items()):
            load = self.loads[number]
            if self.destinations[number].in_use == RETIRED and not load.active and not load.inactive:
                self.destinations[number].in_use = 0
                self._destination_numbers.release(number, now)
                del self._numbers[service, endpoint]
        referred = {service for service, _ in self._numbers}
        for number in range(1, len(self.services)):
            service = self.services[number]
            if service.in_use == RETIRED and number not in referred:
                self._release_config(service.config, now)
                service.in_use = 0
                self._service_numbers.release(number, now)

    def read(self) -> DataplaneState:
        """The services as they stand in the maps."""
        self._present = self._read_listeners()
        services = {name: self._read_service(name, number) for name, number in self.by_name.items()}
        return DataplaneState(services=services)

    def _read_service(self, name: str, number: int) -> Service:
        config = self._configs[self.services[number].config]
        scheduler = SCHEDULER_NAMES[config.scheduler_name]
        return Service(
            name=name,
            listeners=tuple(sorted(self._present.get(number, ()))),
            scheduler=scheduler,
            scheduler_flags=flags_of(scheduler, config.flags),
            method=_METHODS[config.method],
            destinations=tuple(
                self._read_member(member, _METHODS[config.method]) for member in self.members_of(number)
            ),
        )

    def _read_member(self, member: Any, usual: ForwardingMethod) -> Destination:
        address, port = self.endpoint(member.destination)
        method = self._method_of(member)
        available = bool(self.destinations[member.destination].flags & _AVAILABLE)
        return Destination(
            address=address,
            port=port,
            weight=member.weight,
            available=available,
            method=None if method is usual else method,
        )


def _set_bit(words: Any, address: IPv4Address) -> None:
    """``in_filter`` of bpf/flow.h, from the other side."""
    bit = (network_address(address) * 0x9E3779B1 & 0xFFFFFFFF) >> 16
    words[bit >> 6 & (LIMITS["SHOAL_FILTER_WORDS"] - 1)] |= 1 << (bit & 63)
