"""Persistence in the maps: how a service's configuration says it, and the templates that the packet path keeps."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.ebpf.abi import (
    DESTINATION_FLAGS,
    PERSISTENCE_FLAGS,
    ffi,
)
from shoal.dataplane.ebpf.addresses import ENDPOINT_SIZE, address_in, endpoint_of
from shoal.dataplane.ebpf.cutting import CUT_REMOVED
from shoal.dataplane.ebpf.libbpf import run_program
from shoal.dataplane.ebpf.objects import Loaded
from shoal.dataplane.ebpf.ticks import seconds_until
from shoal.model import Persistence, Template

TAKES_PERSISTENT = DESTINATION_FLAGS["SHOAL_TAKES_PERSISTENT"]
FIELDS = ("persistence", "prefix4", "prefix6", "persistence_flags")
"""Of struct service_config."""

_EXPIRE_QUIESCENT = PERSISTENCE_FLAGS["SHOAL_EXPIRE_QUIESCENT"]
_EXPIRE_REMOVED = PERSISTENCE_FLAGS["SHOAL_EXPIRE_REMOVED"]


def write_persistence(config: Any, persistence: Persistence | None) -> None:
    """Fill in the fields of a configuration that is not in use yet."""
    if persistence is None:
        config.persistence = config.prefix4 = config.prefix6 = config.persistence_flags = 0
        return
    config.persistence = persistence.timeout
    config.prefix4, config.prefix6 = persistence.ipv4_prefix, persistence.ipv6_prefix
    config.persistence_flags = (_EXPIRE_QUIESCENT if persistence.expire_quiescent else 0) | (
        _EXPIRE_REMOVED if persistence.expire_removed else 0
    )


def read_persistence(fields: tuple[int, ...]) -> Persistence | None:
    """What the fields say."""
    timeout, prefix4, prefix6, flags = fields
    if not timeout:
        return None
    return Persistence(
        timeout=timeout,
        ipv4_prefix=prefix4,
        ipv6_prefix=prefix6,
        expire_quiescent=bool(flags & _EXPIRE_QUIESCENT),
        expire_removed=bool(flags & _EXPIRE_REMOVED),
    )


def persistence_bits(service: Service, destination: Destination) -> int:
    """What is added to the flags of a destination: whether templates may send it new connections."""
    persistence = service.persistence
    if persistence is None or not destination.available or destination.draining:
        return 0
    return 0 if destination.weight == 0 and persistence.expire_quiescent else TAKES_PERSISTENT


def bits_when_removed(config: Any) -> int:
    """The same once it is removed from the service that has this configuration."""
    honoured = config.persistence and not config.persistence_flags & _EXPIRE_REMOVED
    return TAKES_PERSISTENT if honoured and not config.flags & CUT_REMOVED else 0


class Templates:
    """The templates of one loaded dataplane."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._map = loaded.dictionary("templates")
        self._destinations = loaded.table("destinations")

    def in_force(self, *, now: int, names: Mapping[int, str]) -> Iterator[Template]:
        """Those of these services that are not over at tick ``now``."""
        for key, value in self._map.items():
            left = seconds_until(value.expires, now)
            if key.service not in names or not (left or value.connections):
                continue
            service = self._loaded.table("services")[key.service]
            config = self._loaded.table("service_configs")[service.config]
            address = address_in(key.network)
            prefix = config.prefix4 if address.version == 4 else config.prefix6
            yield Template(
                virtual_server=names[key.service],
                network=ip_network((address, prefix), strict=False),
                real=endpoint_of(self._destinations.raw(value.destination, 1)[:ENDPOINT_SIZE]),
                expires_in=left,
                connections=value.connections,
            )

    def sweep(self, *, now: int) -> int:
        """Remove those that are over; returns how many are left."""
        arguments = ffi.new("struct template_sweep_arguments *", {"now": now})
        run_program(self._loaded.program("shoal_sweep_templates"), arguments)
        return int(arguments.live)
