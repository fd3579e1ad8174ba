"""Services that the packet path cannot serve, whatever else is installed."""

from shoal.dataplane.base import Service
from shoal.dataplane.ebpf.abi import LIMITS
from shoal.dataplane.ebpf.reading import METHOD_NUMBERS
from shoal.dataplane.ebpf.scheduling import refuse_unknown
from shoal.errors import ConfigError


def _refuse_unbuilt_methods(service: Service) -> None:
    """Raises ConfigError for a forwarding method that the programs do not have."""
    for destination in service.destinations:
        if (method := service.method_of(destination)) not in METHOD_NUMBERS:
            raise ConfigError(
                where=f"virtual server {service.name}",
                problem=f"the eBPF dataplane does not forward by {method} yet",
                fix=f"use one of {', '.join(METHOD_NUMBERS)}",
            )


def refuse_unfit(service: Service) -> None:
    """Raise ConfigError for a scheduler, method or size that the programs do not have."""
    refuse_unknown(service)
    _refuse_unbuilt_methods(service)
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
