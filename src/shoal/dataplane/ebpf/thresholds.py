"""Thresholds of destinations in the map of that name. The packet path sets and clears ``overloaded``."""

from collections.abc import Iterable

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.ebpf.abi import CONFIG_FLAGS
from shoal.dataplane.ebpf.objects import Loaded

THRESHOLDS = CONFIG_FLAGS["SHOAL_THRESHOLDS"]


def threshold_bits(service: Service) -> int:
    """What is added to ``service_config.flags``."""
    return THRESHOLDS if any(each.upper_threshold for each in service.destinations) else 0


class Thresholds:
    """The thresholds of one loaded dataplane. Most destinations have none, and cost nothing."""

    def __init__(self, loaded: Loaded) -> None:
        self._table = loaded.table("thresholds")
        self._loads = loaded.table("loads")
        self._limited = {number for number, (upper,) in enumerate(self._table.rows("upper")) if upper}

    def install(self, number: int, destination: Destination) -> None:
        """Let these hold from now on; a destination that has reached them already is overloaded at once."""
        wanted = destination.upper_threshold, destination.lower_threshold
        if wanted == (0, 0) and number not in self._limited:
            return
        row = self._table[number]
        if (row.upper, row.lower) != wanted:
            load = self._loads[number]
            row.upper, row.lower = wanted
            row.overloaded = 0 < wanted[0] <= load.active + load.inactive
        if wanted[0]:
            self._limited.add(number)
        else:
            self._limited.discard(number)

    def forget(self, number: int) -> None:
        """The number is free to be given to another destination."""
        if number in self._limited:
            row = self._table[number]
            row.upper = row.lower = row.overloaded = 0
            self._limited.discard(number)

    def of(self, numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
        """Upper and lower thresholds as they stand in the map."""
        rows = (self._table[number] for number in numbers)
        return tuple((row.upper, row.lower) for row in rows)

    def overloaded(self) -> set[int]:
        """The destinations that get no new connections now."""
        return {number for number in self._limited if self._table[number].overloaded}
