"""What a service's configuration says besides its scheduler, and the settings that all share."""

from collections.abc import Mapping
from typing import Any

from shoal.dataplane.base import Service
from shoal.dataplane.ebpf.abi import SERVICE_OPTIONS, SETTINGS_FLAGS, STATES, TICK_SECONDS
from shoal.dataplane.ebpf.access import Lists
from shoal.model import Admission, ConnectionState, Rate

OPTION_FIELDS = (
    "options",
    "connection_limit",
    "source_count",
    "source_period",
    "source_burst",
    "drain_timeout",
)
"""Of ``struct service_config``, in its order."""

_ONE_PACKET = SERVICE_OPTIONS["SHOAL_ONE_PACKET"]
_SLOPPY = SERVICE_OPTIONS["SHOAL_SLOPPY"]
_SCREENED = SERVICE_OPTIONS["SHOAL_SCREENED"]
_ALLOW_LISTED = SERVICE_OPTIONS["SHOAL_ALLOW_LISTED"]


def write_options(config: Any, service: Service) -> None:
    """Fill in those fields of a new configuration."""
    admission = service.admission
    rate = admission.source_rate
    config.options = (
        (_ONE_PACKET if service.one_packet else 0)
        | (_SLOPPY if service.sloppy else 0)
        | (_SCREENED if admission.allow or admission.deny else 0)
        | (_ALLOW_LISTED if admission.allow else 0)
    )
    config.connection_limit = admission.connection_limit
    config.source_count, config.source_period = (rate.count, rate.period) if rate else (0, 0)
    config.source_burst = admission.source_burst
    config.drain_timeout = service.drain_timeout


def is_one_packet(options: int) -> bool:
    """Whether a configuration with these options keeps no connections."""
    return bool(options & _ONE_PACKET)


def read_options(fields: tuple[int, ...], lists: Lists) -> dict[str, Any]:
    """The same fields as those of ``Service``."""
    options, limit, count, period, burst, drain_timeout = fields
    return {
        "one_packet": is_one_packet(options),
        "sloppy": bool(options & _SLOPPY),
        "drain_timeout": drain_timeout,
        "admission": Admission(
            allow=lists[0],
            deny=lists[1],
            connection_limit=limit,
            source_rate=Rate(count=count, period=period) if count else None,
            source_burst=burst,
        ),
    }


def write_flags(settings: Any, *, loose_replies: bool, marks: bool) -> None:
    """Tell the established programs what they must look out for."""
    flags = SETTINGS_FLAGS["SHOAL_LOOSE_REPLIES"] if loose_replies else 0
    flags |= SETTINGS_FLAGS["SHOAL_MARKS"] if marks else 0
    if settings.flags != flags:
        settings.flags = flags


def write_timeouts(settings: Any, timeouts: Mapping[ConnectionState, float]) -> None:
    """A connection goes by them from its next packet on."""
    for state, seconds in timeouts.items():
        settings.timeout_ticks[STATES["SHOAL_" + state.name]] = round(seconds / TICK_SECONDS)


def read_timeouts(settings: Any) -> dict[ConnectionState, float]:
    """In whole seconds, as they were set: a tick is much shorter."""
    return {
        state: float(round(settings.timeout_ticks[STATES["SHOAL_" + state.name]] * TICK_SECONDS))
        for state in ConnectionState
    }
