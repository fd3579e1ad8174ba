"""Loading the three objects over one set of pinned maps, and taking over the maps of a predecessor."""

import os
import secrets
import shutil
from pathlib import Path

from shoal.dataplane.ebpf.abi import ABI_VERSION, LIMITS, STATES, TICK_SECONDS, built, ffi
from shoal.dataplane.ebpf.libbpf import Object, check, get_pinned, lib
from shoal.dataplane.ebpf.tables import Dictionary, PerCpuCounters, Table, close_descriptor
from shoal.errors import UnavailableError
from shoal.model import ConnectionState
from shoal.model.tcp_states import TIMEOUTS

OBJECTS = ("balancer_xdp.bpf.o", "balancer_tc.bpf.o", "control.bpf.o")
PROGRAMS = {
    "shoal_xdp": "balancer_xdp.bpf.o",
    "shoal_xdp_local": "balancer_xdp.bpf.o",
    "shoal_tc": "balancer_tc.bpf.o",
    "shoal_sweep": "control.bpf.o",
    "shoal_list": "control.bpf.o",
}
MAPS = "maps"
SLOTS_PER_CONNECTION = 2  # a table at most half full hardly ever has to refuse a place
MAX_SERVICES = 256
MAX_DESTINATIONS = 4096
MAX_MEMBERS = 2 * MAX_DESTINATIONS  # old and new configurations side by side
MAX_RING_ENTRIES = 1 << 21  # 16 MiB: an old and a new mh table for each of 256 services

_ELEMENTS = {
    "connections4": "struct bucket4",
    "destinations": "struct destination",
    "loads": "struct load",
    "services": "struct service",
    "service_configs": "struct service_config",
    "members": "struct member",
    "rings": "__u32",
    "settings": "struct settings",
    "filter": "struct address_filter",
    "ownership": "struct ownership",
    "listing": "struct connection4",
}
_DICTIONARIES = {
    "listeners": ("struct listener_key", "struct listener"),
    "reverses": ("struct listener_key", "struct reverse"),
    "interfaces": ("__u32", "__u32"),
    "localities": ("struct locality_key", "struct locality"),
}
_COUNTERS = {
    "destination_counters": "struct destination_counters",
    "service_counters": "struct service_counters",
}


def buckets_for(max_connections: int) -> int:
    """How many buckets a table for so many connections has."""
    return max(1, -(-max_connections * SLOTS_PER_CONNECTION // LIMITS["SHOAL_BUCKET_SLOTS"]))


def _sizes(max_connections: int) -> dict[str, int]:
    return {
        "connections4": buckets_for(max_connections),
        "destinations": MAX_DESTINATIONS,
        "loads": MAX_DESTINATIONS,
        "destination_counters": MAX_DESTINATIONS,
        "services": MAX_SERVICES + 1,
        "service_counters": MAX_SERVICES + 1,
        "service_configs": 4 * MAX_SERVICES,
        "members": MAX_MEMBERS,
        "rings": MAX_RING_ENTRIES,
        "listeners": 4096,
        "reverses": MAX_DESTINATIONS,
    }


def _pinned_entries(path: Path) -> int | None:
    """How many entries a pinned map has (struct bpf_map_info, include/uapi/linux/bpf.h)."""
    descriptor = get_pinned(path)
    if descriptor is None:
        return None
    information = ffi.new("__u32[]", 32)
    size = ffi.new("__u32 *", 128)
    try:
        check(lib.bpf_obj_get_info_by_fd(descriptor, information, size), problem="map information refused")
    finally:
        close_descriptor(descriptor)
    return int(information[4])


def _refuse_other_abi(maps: Path) -> None:
    descriptor = get_pinned(maps / "settings")
    if descriptor is None:
        return
    try:
        table = Table(descriptor, "struct settings", 1)
        found = table[0].abi_version
    finally:
        close_descriptor(descriptor)
    if found not in (0, ABI_VERSION):
        raise UnavailableError(
            problem=f"the installed dataplane has ABI version {found}, this Shoal speaks {ABI_VERSION}",
            where=str(maps),
            fix="stop Shoal cleanly once (this removes the old dataplane), then start this version",
        )


class Loaded:
    """The loaded programs and the maps, by name."""

    def __init__(self, pins: Path, max_connections: int) -> None:
        self.pins = pins
        maps = pins / MAPS
        maps.mkdir(parents=True, exist_ok=True)
        _refuse_other_abi(maps)
        self.adopted = (maps / "settings").exists()
        pinned = _pinned_entries(maps / "connections4")
        sizes = _sizes(max_connections)
        if pinned is not None:
            sizes["connections4"] = pinned  # live connections are worth more than a new size
        self.n_buckets = sizes["connections4"]
        self._tables: dict[str, Table] = {}
        self._sizes = sizes
        self._objects: dict[str, Object] = {}
        self._maps = dict(self._object("balancer_tc.bpf.o").maps())
        if not self.adopted:
            self._initialise()

    def _object(self, name: str) -> Object:
        """An object, loaded over the pinned maps when it is first wanted: the verifier takes its time."""
        if name in self._objects:
            return self._objects[name]
        loaded = Object(str(built(name)))
        for map_name, handle in loaded.maps():
            if map_name in self._sizes:
                size = self._sizes[map_name]
                check(lib.bpf_map__set_max_entries(handle, size), problem="map size refused", where=map_name)
            lib.bpf_map__set_pin_path(handle, os.fsencode(self.pins / MAPS / map_name))
        try:
            loaded.load()
        except BaseException:
            loaded.close()
            raise
        self._objects[name] = loaded
        return loaded

    def _initialise(self) -> None:
        settings = self.table("settings")[0]
        settings.hash_seed = secrets.randbits(64)
        settings.n_buckets = self.n_buckets
        for state in ConnectionState:
            number = STATES["SHOAL_" + state.name]
            settings.timeout_ticks[number] = round(TIMEOUTS[state] / TICK_SECONDS)
        settings.abi_version = ABI_VERSION

    def program(self, name: str) -> int:
        """The descriptor of a program of any of the objects."""
        return self._object(PROGRAMS[name]).program(name)

    def descriptor(self, name: str) -> int:
        """The descriptor of a map."""
        return int(lib.bpf_map__fd(self._maps[name]))

    def table(self, name: str) -> Table:
        """An array map, mapped into memory for as long as this object lives."""
        if name not in self._tables:
            entries = lib.bpf_map__max_entries(self._maps[name])
            self._tables[name] = Table(self.descriptor(name), _ELEMENTS[name], entries)
        return self._tables[name]

    def dictionary(self, name: str) -> Dictionary:
        """A hash map."""
        return Dictionary(self.descriptor(name), *_DICTIONARIES[name])

    def counters(self, name: str) -> PerCpuCounters:
        """A per-CPU array."""
        return PerCpuCounters(self.descriptor(name), _COUNTERS[name])

    def close(self) -> None:
        """Close the descriptors; pinned maps and programs in use stay."""
        while self._objects:
            self._objects.popitem()[1].close()

    def unpin(self) -> None:
        """Take the maps out of the bpffs; the kernel frees them with their last user."""
        shutil.rmtree(self.pins / MAPS, ignore_errors=True)


def try_load() -> None:
    """Load every object with small maps and let go of it again; nothing is pinned."""
    for name in OBJECTS:
        loaded = Object(str(built(name)))
        try:
            loaded.load()
        finally:
            loaded.close()
