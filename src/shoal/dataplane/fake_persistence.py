"""Persistence in memory: which real server the clients of a network were given. Pure.

As in IPVS (``ip_vs_sched_persist()``), a template's time begins anew with each connection, and it outlives that time
while a connection lives that it has counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from shoal.dataplane.base import Service
from shoal.model import Address, Network, Persistence, Template

Endpoint = tuple[Address, int]


@dataclass(slots=True, kw_only=True)
class _Kept:
    endpoint: Endpoint
    deadline: float
    connections: int = 0


class Templates:
    """The templates of all services, at most ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[tuple[str, Network], _Kept] = {}

    def recall(self, service: Service, client: Address, *, now: float) -> Endpoint | None:
        """Where the template in force sends this client, which is then one connection more."""
        persistence = service.persistence
        if persistence is None:
            return None
        kept = self._kept.get((service.name, _network(persistence, client)))
        if kept is None or (not kept.connections and kept.deadline <= now):
            return None
        kept.connections += 1
        kept.deadline = now + persistence.timeout
        return kept.endpoint

    def make(self, service: Service, client: Address, endpoint: Endpoint, *, now: float) -> bool:
        """Remember where a client was sent, with one connection; False when there is no room for it."""
        persistence = service.persistence
        if persistence is None:
            return False
        key = service.name, _network(persistence, client)
        if key not in self._kept and len(self._kept) >= self._limit:
            return False
        self._kept[key] = _Kept(endpoint=endpoint, deadline=now + persistence.timeout, connections=1)
        return True

    def release(self, service: Service, client: Address, endpoint: Endpoint) -> None:
        """A connection that was counted is over. A template that has another real server by now is another one."""
        if service.persistence is None:
            return
        kept = self._kept.get((service.name, _network(service.persistence, client)))
        if kept is not None and kept.endpoint == endpoint and kept.connections:
            kept.connections -= 1

    def in_force(self, *, now: float) -> Iterator[Template]:
        """Those that are not over."""
        for (name, network), kept in self._kept.items():
            if kept.connections or kept.deadline > now:
                yield Template(
                    virtual_server=name,
                    network=network,
                    real=kept.endpoint,
                    expires_in=max(0.0, kept.deadline - now),
                    connections=kept.connections,
                )

    def sweep(self, *, now: float) -> None:
        """Forget those that are over."""
        self._kept = {
            key: kept for key, kept in self._kept.items() if kept.connections or kept.deadline > now
        }

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()


def _network(persistence: Persistence, client: Address) -> Network:
    prefix = persistence.ipv4_prefix if client.version == 4 else persistence.ipv6_prefix
    return ip_network((client, prefix), strict=False)
