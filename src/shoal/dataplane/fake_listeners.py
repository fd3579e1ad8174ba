"""Who listens where, and what real servers are called outside: for the fake dataplane. Pure."""

from collections.abc import Iterable

from shoal.dataplane.base import Destination, Service
from shoal.errors import ConfigError
from shoal.model import Address, ForwardingMethod, Listener, Protocol

Endpoint = tuple[Address, int]


class Listeners:
    """Listeners and firewall marks with the names of their services."""

    def __init__(self) -> None:
        self._owners: dict[Listener | int, str] = {}
        self._ranges: dict[tuple[Address, Protocol], list[Listener]] = {}

    def put(self, service: Service) -> None:
        """Replace a service's listeners. Raises ConfigError for one that belongs to another."""
        claims: tuple[Listener | int, ...] = (*service.listeners, *service.marks)
        for each in claims:
            if self._owners.get(each, service.name) != service.name:
                shown = f"fwmark:{each}" if isinstance(each, int) else str(each)
                raise ConfigError(
                    where=service.name,
                    problem=f"listener {shown} belongs to {self._owners[each]}",
                    fix="Remove it there first.",
                )
        self.release(service.name)
        self._owners |= dict.fromkeys(claims, service.name)
        self._sort()

    def release(self, name: str) -> None:
        """Forget a service's listeners."""
        self._owners = {each: owner for each, owner in self._owners.items() if owner != name}
        self._sort()

    def _sort(self) -> None:
        """Ranges with few ports first: of two the narrower wins."""
        self._ranges = {}
        for each in self._owners:
            if isinstance(each, Listener) and each.is_range:
                self._ranges.setdefault((each.address, each.protocol), []).append(each)
        for ranges in self._ranges.values():
            ranges.sort(key=lambda each: len(each.ports))

    def find(self, protocol: Protocol, endpoint: Endpoint, *, mark: int = 0) -> str | None:
        """Whose a client's packet is: by its mark, its port, or the range of its port."""
        if mark and mark in self._owners:
            return self._owners[mark]
        address, port = endpoint
        exact = self._owners.get(Listener(address=address, port=port, protocol=protocol))
        if exact is not None:
            return exact
        ranges = self._ranges.get((address, protocol), ())
        return next((self._owners[each] for each in ranges if port in each.ports), None)


def name_outside(
    services: Iterable[Service], protocol: Protocol, real: Endpoint, *, listeners: Listeners
) -> tuple[Service, Destination, Endpoint] | None:
    """The one listener that a real server's endpoint stands for under nat: service, destination, virtual endpoint.

    An endpoint that stands for several stands for none.
    """
    exact: set[tuple[str, Endpoint, Endpoint]] = set()
    wide: set[tuple[str, Endpoint, Endpoint]] = set()
    known: dict[tuple[str, Endpoint], tuple[Service, Destination]] = {}
    for service in services:
        for each in service.destinations:
            if each.address != real[0] or service.method_of(each) is not ForwardingMethod.NAT:
                continue
            known[service.name, each.endpoint] = service, each
            for listener in service.listeners:
                if listener.protocol is not protocol:
                    continue
                if each.port == 0 and listener.is_range:
                    wide.add((service.name, each.endpoint, (listener.address, real[1])))
                elif real[1] == (each.port or listener.port):
                    exact.add((service.name, each.endpoint, (listener.address, listener.port)))
    found = exact if len(exact) == 1 else wide if len(wide) == 1 else set()
    for name, endpoint, virtual in found:
        service, destination = known[name, endpoint]
        if found is exact or listeners.find(protocol, virtual) == name:
            return service, destination, virtual
    return None
