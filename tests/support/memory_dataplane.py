"""A dataplane that only remembers what it was told: for tests of what is told, and when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network

from shoal.dataplane.base import (
    Attachment,
    Counters,
    Dataplane,
    DataplaneState,
    DestinationCounters,
    Drop,
    PutService,
    Service,
    ServiceCounters,
    Step,
)
from shoal.errors import KernelError
from shoal.model import Connection, ConnectionState, LocalPool, Protocol, Template

CONNECTION = Connection(
    protocol=Protocol.TCP,
    client=(IPv4Address("198.51.100.7"), 40000),
    virtual=(IPv4Address("192.0.2.10"), 80),
    real=(IPv4Address("10.0.1.21"), 80),
    state=ConnectionState.ESTABLISHED,
    expires_in=899.5,
    virtual_server="www",
)


TEMPLATE = Template(
    virtual_server="www",
    network=ip_network("198.51.100.0/24"),
    real=(IPv4Address("10.0.1.21"), 80),
    expires_in=299.5,
    connections=1,
)


@dataclass
class MemoryDataplane(Dataplane):
    """``refuse`` names services that it will not take; ``calls`` are the calls that changed something."""

    name: str = "memory"
    services: dict[str, Service] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    full: bool = False

    def actual(self) -> DataplaneState:
        """What was put."""
        return DataplaneState(services=dict(self.services))

    def apply(self, steps: Sequence[Step]) -> None:
        """Remember."""
        for step in steps:
            name = step.service.name if isinstance(step, PutService) else step.name
            if name in self.refuse:
                raise KernelError(errno=7, problem="cannot install the service", where=name, fix="use fewer")
            self.calls.append(f"{type(step).__name__} {name}")
            if isinstance(step, PutService):
                self.services[name] = step.service
            else:
                del self.services[name]

    def use_local(self, pool: LocalPool) -> None:
        """Remember that it was told."""
        self.calls.append(f"use_local {' '.join(map(str, pool.addresses))}")

    def attachments(self) -> tuple[Attachment, ...]:
        """One."""
        return (Attachment(interface="eth0", hook="tc", reason="a veth has no native XDP"),)

    def connections(self, *, limit: int) -> Iterable[Connection]:
        """One connection."""
        return (CONNECTION,)[:limit]

    def templates(self, *, limit: int) -> Iterable[Template]:
        """One, of the first service."""
        return [TEMPLATE][: limit if self.services else 0]

    def counters(self) -> Counters:
        """Figures that are all different."""
        first = DestinationCounters(
            active=1, inactive=2, connections=3, packets_in=4, bytes_in=5, packets_out=6, bytes_out=7
        )
        www = ServiceCounters(
            connections=3,
            drops={Drop.NO_REAL_SERVER: 2, Drop.FRAGMENT_WITHOUT_FIRST: 0},
            destinations={(IPv4Address("10.0.1.21"), 80): first},
        )
        drops = {Drop.NO_REAL_SERVER: 1, Drop.FRAGMENT_WITHOUT_FIRST: 4}
        return Counters(services={"www": www}, drops=drops, connections_held=1, connections_limit=1024)

    def overloaded(self) -> bool:
        """As the test says."""
        return self.full

    def sweep(self) -> int:
        """Nothing expires here."""
        self.calls.append("sweep")
        return 0

    def close(self) -> None:
        """Remember that."""
        self.calls.append("close")

    def remove(self) -> None:
        """Remember that, and forget everything else."""
        self.calls.append("remove")
        self.services.clear()
