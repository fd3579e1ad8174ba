"""Draining real servers, and ending the connections of those that are removed or down, as the maps say it."""

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.ebpf.abi import CONFIG_FLAGS, DESTINATION_FLAGS

CUT = DESTINATION_FLAGS["SHOAL_CUT"]
DRAINING = DESTINATION_FLAGS["SHOAL_DRAINING"]
CUT_WISHED = DESTINATION_FLAGS["SHOAL_CUT_WISHED"]
CUT_REMOVED = CONFIG_FLAGS["SHOAL_CUT_REMOVED"]
CUT_DOWN = CONFIG_FLAGS["SHOAL_CUT_DOWN"]


def cut_bits(service: Service) -> int:
    """What is added to ``service_config.flags``."""
    return (CUT_REMOVED if service.cut_removed else 0) | (CUT_DOWN if service.cut_down else 0)


def destination_bits(service: Service, destination: Destination) -> int:
    """What is added to the flags of a destination."""
    bits = CUT if destination.cut or (service.cut_down and not destination.available) else 0
    return bits | (DRAINING if destination.draining else 0) | (CUT_WISHED if destination.cut else 0)
