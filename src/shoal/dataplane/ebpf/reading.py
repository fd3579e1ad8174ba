"""Reading the services back out of the maps. What has not changed since the last time is only compared."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.ebpf.abi import DESTINATION_FLAGS, METHODS
from shoal.dataplane.ebpf.access import NO_LISTS, AccessLists, Lists
from shoal.dataplane.ebpf.addresses import address_of, port_of
from shoal.dataplane.ebpf.cutting import CUT_WISHED, DRAINING, read_on_down, read_on_removal
from shoal.dataplane.ebpf.listening import Claim, Listening, listeners_in, marks_in
from shoal.dataplane.ebpf.objects import Loaded
from shoal.dataplane.ebpf.options import OPTION_FIELDS, read_options
from shoal.dataplane.ebpf.persistence import FIELDS, read_persistence
from shoal.dataplane.ebpf.scheduling import SCHEDULER_NAMES, flags_of
from shoal.dataplane.ebpf.tables import row_format
from shoal.dataplane.ebpf.thresholds import THRESHOLDS, Thresholds
from shoal.dataplane.ebpf.tunnels import Tunnels
from shoal.model import GUE_PORT, Encapsulation, ForwardingMethod

METHOD_NUMBERS = {
    method: METHODS[f"SHOAL_{method.name}"]
    for method in ForwardingMethod
    if f"SHOAL_{method.name}" in METHODS
}
METHOD_OF = {number: method for method, number in METHOD_NUMBERS.items()}
AVAILABLE = DESTINATION_FLAGS["SHOAL_AVAILABLE"]
_TUNNEL = METHOD_NUMBERS[ForwardingMethod.TUNNEL]
_NO_TUNNEL = (Encapsulation.IPIP, GUE_PORT)

_CONFIG = ("members", "n_members", "scheduler_name", "flags", "method", *FIELDS, "mss_clamp", *OPTION_FIELDS)
_METHOD = _CONFIG.index("method")
_MEMBER = row_format("struct member", ("destination", "weight"))
_CONFIG_ROW = row_format("struct service_config", _CONFIG)
_DESTINATION = row_format("struct destination", ("address", "port"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A service as it was read, and what it was read from. ``pick`` takes its destinations' out of a column."""

    config: tuple[int, ...]
    members: bytes
    claims: tuple[Claim, ...]
    lists: Lists
    pick: Callable[[bytes], tuple[int, ...]]
    flags: tuple[int, ...]
    methods: tuple[int, ...]
    tunnels: Mapping[int, tuple[Encapsulation, int]]
    thresholds: tuple[tuple[int, int], ...]
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """One byte of each destination."""

    flags: bytes
    methods: bytes

    def are_those_of(self, seen: _Seen) -> bool:
        """Whether nothing has changed there for a service's destinations."""
        return seen.pick(self.flags) == seen.flags and seen.pick(self.methods) == seen.methods


class Reader:
    """Reads the services of one loaded dataplane."""

    def __init__(
        self,
        loaded: Loaded,
        tunnels: Tunnels,
        thresholds: Thresholds,
        *,
        listening: Listening,
        access: AccessLists,
    ) -> None:
        self._tunnels = tunnels
        self._thresholds = thresholds
        self._services = loaded.table("services")
        self._configs = loaded.table("service_configs")
        self._members = loaded.table("members")
        self._destinations = loaded.table("destinations")
        self._listening = listening
        self._access = access
        self._seen: dict[str, _Seen] = {}
        self._columns = _Columns(flags=b"", methods=b"")

    def forget(self, name: str) -> None:
        """Decode this service anew the next time: its numbers may have been given to others."""
        self._seen.pop(name, None)

    def read(self, by_name: Mapping[str, int]) -> dict[str, Service]:
        """The services of these names and numbers."""
        listening, access = self._listening.read(), self._access.read()
        configs = [number for (number,) in self._services.rows("config")]
        columns = _Columns(
            flags=self._destinations.column("flags"), methods=self._destinations.column("method")
        )
        is_as_before = columns == self._columns
        seen = {}
        for name, number in by_name.items():
            config_number = configs[number]
            config, ours = self._configs.row(config_number, _CONFIG_ROW), listening.get(number, ())
            lists = access.get(config_number, NO_LISTS)
            members = self._members.raw(config[0], config[1])
            last = self._seen.get(name)
            if (
                last is None
                or (last.config, last.members, last.claims, last.lists) != (config, members, ours, lists)
                or not (is_as_before or columns.are_those_of(last))
                or (
                    last.tunnels
                    and any(self._tunnels.read(each) != form for each, form in last.tunnels.items())
                )
                or self._limits(config, members) != last.thresholds
            ):
                last = self._decode(name, columns, config=config, members=members, claims=ours, lists=lists)
            seen[name] = last
        self._seen, self._columns = seen, columns
        return {name: each.service for name, each in seen.items()}

    def _limits(self, config: tuple[int, ...], members: bytes) -> tuple[tuple[int, int], ...]:
        """Thresholds of the members, if one of them has any."""
        if not config[3] & THRESHOLDS:
            return ()
        return self._thresholds.of(number for number, _ in _MEMBER.iter_unpack(members))

    def _decode(
        self,
        name: str,
        columns: _Columns,
        *,
        config: tuple[int, ...],
        members: bytes,
        claims: tuple[Claim, ...],
        lists: Lists,
    ) -> _Seen:
        numbers = [number for number, _ in _MEMBER.iter_unpack(members)]
        pick = itemgetter(0, 0, *numbers)  # with one of them it would give no tuple
        flags, methods = pick(columns.flags), pick(columns.methods)
        tunnels = {
            number: self._tunnels.read(number)
            for number, method in zip(numbers, methods[2:], strict=True)
            if method == _TUNNEL
        }
        limits = self._limits(config, members)
        each_limits = limits or repeat((0, 0), len(numbers))
        weights = (weight for _, weight in _MEMBER.iter_unpack(members))
        rows = zip(numbers, weights, flags[2:], methods[2:], each_limits, strict=True)
        destinations = self._decode_destinations(rows, usual=config[_METHOD], tunnels=tunnels)
        return _Seen(
            config=config,
            members=members,
            claims=claims,
            lists=lists,
            pick=pick,
            flags=flags,
            methods=methods,
            tunnels=tunnels,
            thresholds=limits,
            service=_service(name, config, claims=claims, lists=lists, destinations=destinations),
        )

    def _decode_destinations(
        self,
        rows: Iterable[tuple[int, int, int, int, tuple[int, int]]],
        *,
        usual: int,
        tunnels: Mapping[int, tuple[Encapsulation, int]],
    ) -> tuple[Destination, ...]:
        """Of numbers with their weights, flags, methods and thresholds."""
        return tuple(
            _destination(
                self._destinations.row(number, _DESTINATION),
                weight=weight,
                flags=flags,
                method=None if method == usual else METHOD_OF[method],
                tunnel=tunnels.get(number, _NO_TUNNEL),
                thresholds=thresholds,
            )
            for number, weight, flags, method, thresholds in rows
        )


def _service(
    name: str,
    config: tuple[int, ...],
    *,
    claims: tuple[Claim, ...],
    lists: Lists,
    destinations: tuple[Destination, ...],
) -> Service:
    _, _, scheduler_name, bits, method, *others = config
    persistence, mss_clamp, options = (
        others[: len(FIELDS)],
        others[len(FIELDS)],
        others[len(FIELDS) + 1 :],
    )
    scheduler = SCHEDULER_NAMES[scheduler_name]
    return Service(
        name=name,
        listeners=listeners_in(claims),
        marks=marks_in(claims),
        **read_options(tuple(options), lists),
        scheduler=scheduler,
        scheduler_flags=flags_of(scheduler, bits),
        method=METHOD_OF[method],
        persistence=read_persistence(tuple(persistence)),
        on_removal=read_on_removal(bits),
        on_down=read_on_down(bits),
        mss_clamp={0: False, 1: True}.get(mss_clamp, mss_clamp),
        destinations=destinations,
    )


def _destination(
    row: tuple[Any, ...],
    *,
    weight: int,
    flags: int,
    method: ForwardingMethod | None,
    tunnel: tuple[Encapsulation, int],
    thresholds: tuple[int, int],
) -> Destination:
    address, port = row
    return Destination(
        address=address_of(address),
        port=port_of(port),
        weight=weight,
        available=bool(flags & AVAILABLE),
        method=method,
        encap=tunnel[0],
        encap_port=tunnel[1],
        upper_threshold=thresholds[0],
        lower_threshold=thresholds[1],
        draining=bool(flags & DRAINING),
        cut=bool(flags & CUT_WISHED),
    )
