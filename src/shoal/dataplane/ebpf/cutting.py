"""Draining real servers, and ending the connections of those that are removed or down, as the maps say it."""

from collections.abc import Mapping

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.ebpf.abi import CONFIG_FLAGS, DESTINATION_FLAGS
from shoal.model import Leaving

CUT = DESTINATION_FLAGS["SHOAL_CUT"]
MOVE = DESTINATION_FLAGS["SHOAL_MOVE"]
ENDING = CUT | MOVE
DRAINING = DESTINATION_FLAGS["SHOAL_DRAINING"]
CUT_WISHED = DESTINATION_FLAGS["SHOAL_CUT_WISHED"]
CUT_REMOVED = CONFIG_FLAGS["SHOAL_CUT_REMOVED"]
_REMOVED = {
    Leaving.KEEP: 0,
    Leaving.RESET: CUT_REMOVED,
    Leaving.MOVE: CUT_REMOVED | CONFIG_FLAGS["SHOAL_MOVE_REMOVED"],
}
_DOWN = {
    Leaving.KEEP: 0,
    Leaving.RESET: CONFIG_FLAGS["SHOAL_CUT_DOWN"],
    Leaving.MOVE: CONFIG_FLAGS["SHOAL_CUT_DOWN"] | CONFIG_FLAGS["SHOAL_MOVE_DOWN"],
}
_ENDINGS = {Leaving.KEEP: 0, Leaving.RESET: CUT, Leaving.MOVE: CUT | MOVE}


def cut_bits(service: Service) -> int:
    """What is added to ``service_config.flags``."""
    return _REMOVED[service.on_removal] | _DOWN[service.on_down]


def read_on_removal(bits: int) -> Leaving:
    """``Service.on_removal`` of these flags of a ``service_config``."""
    return _read(_REMOVED, bits)


def read_on_down(bits: int) -> Leaving:
    """``Service.on_down`` of the same."""
    return _read(_DOWN, bits)


def _read(known: Mapping[Leaving, int], bits: int) -> Leaving:
    return next(leaving for leaving, ours in known.items() if bits & known[Leaving.MOVE] == ours)


def ending_when_removed(bits: int) -> int:
    """What is added to the flags of a destination that leaves the service with these flags of its configuration."""
    return _ENDINGS[read_on_removal(bits)]


def destination_bits(service: Service, destination: Destination) -> int:
    """What is added to the flags of a destination."""
    bits = CUT if destination.cut else 0
    if not destination.cut and not destination.available:
        bits = _ENDINGS[service.on_down]
    return bits | (DRAINING if destination.draining else 0) | (CUT_WISHED if destination.cut else 0)
