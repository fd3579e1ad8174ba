"""Ending the connections of real servers that are removed or down: how a service's configuration says it."""

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.ebpf.abi import CONFIG_FLAGS, DESTINATION_FLAGS

CUT = DESTINATION_FLAGS["SHOAL_CUT"]
CUT_REMOVED = CONFIG_FLAGS["SHOAL_CUT_REMOVED"]
CUT_DOWN = CONFIG_FLAGS["SHOAL_CUT_DOWN"]


def cut_bits(service: Service) -> int:
    """What is added to ``service_config.flags``."""
    return (CUT_REMOVED if service.cut_removed else 0) | (CUT_DOWN if service.cut_down else 0)


def destination_bits(service: Service, destination: Destination) -> int:
    """What is added to the flags of a destination."""
    return CUT if service.cut_down and not destination.available else 0
