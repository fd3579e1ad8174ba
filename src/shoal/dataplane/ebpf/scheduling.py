"""A service's scheduler as the packet path knows it: kind, flags, and the ring that was worked out for it."""

from collections.abc import Sequence

from shoal.dataplane.base import Service
from shoal.dataplane.ebpf.abi import SCHEDULER_FLAGS, SCHEDULERS
from shoal.errors import ConfigError
from shoal.schedulers import Load, scheduler_class

SCHEDULER_NAMES = (
    "rr",
    "wrr",
    "lc",
    "wlc",
    "sed",
    "nq",
    "fo",
    "ovf",
    "twos",
    "sh",
    "dh",
    "mh",
    "lblc",
    "lblcr",
)
"""By their number in ``service_config.scheduler_name``: append only."""

KINDS = {
    name: SCHEDULERS["SHOAL_RING" if name in ("rr", "wrr") else f"SHOAL_{name.upper()}"]
    for name in SCHEDULER_NAMES
}
_FLAG_BITS = {
    "sh-port": SCHEDULER_FLAGS["SHOAL_HASH_PORT"],
    "sh-fallback": SCHEDULER_FLAGS["SHOAL_FALLBACK"],
    "mh-port": SCHEDULER_FLAGS["SHOAL_HASH_PORT"],
    "mh-fallback": SCHEDULER_FLAGS["SHOAL_FALLBACK"],
}


def refuse_unknown(service: Service) -> None:
    """Raise ConfigError for a scheduler that the packet path does not have, or a flag that it does not take."""
    where = f"virtual server {service.name}"
    if service.scheduler not in KINDS:
        raise ConfigError(
            where=where,
            problem=f"the eBPF dataplane has no scheduler {service.scheduler}",
            fix=f"use one of {', '.join(SCHEDULER_NAMES)}",
        )
    known = scheduler_class(service.scheduler).known_flags
    for flag in service.scheduler_flags:
        if flag not in known:
            raise ConfigError(
                where=where,
                problem=f"the scheduler {service.scheduler} has no flag {flag}",
                fix=f"use {' or '.join(known)}" if known else "leave scheduler_flags out",
            )


def flag_bits(flags: Sequence[str]) -> int:
    """``service_config.flags``."""
    bits = 0
    for flag in flags:
        bits |= _FLAG_BITS[flag]
    return bits


def flags_of(scheduler: str, bits: int) -> tuple[str, ...]:
    """The names of a scheduler's flags, sorted."""
    return tuple(flag for flag in scheduler_class(scheduler).known_flags if _FLAG_BITS[flag] & bits)


def shares_of(service: Service) -> list[int]:
    """The weights that count for new connections."""
    return [each.weight if each.available else 0 for each in service.destinations]


def ring_of(service: Service, shares: Sequence[int], numbers: Sequence[int]) -> list[int]:
    """What goes into the map "rings", given the destinations' numbers: numbers to walk, or hashed positions."""
    scheduler = scheduler_class(service.scheduler)
    if scheduler.ring is not None:
        return [numbers[each] for each in scheduler.ring(shares)]
    if scheduler.table is not None:
        return list(scheduler.table(_loads(service)))
    return []


def _loads(service: Service) -> list[Load]:
    return [
        Load(weight=each.weight, available=each.available, address=each.address, port=each.port)
        for each in service.destinations
    ]
