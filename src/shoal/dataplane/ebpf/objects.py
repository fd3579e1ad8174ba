"""Loading the objects over one set of pinned maps, and taking over the maps of a predecessor.

There is an object for each hook and family, loaded when it is first wanted: the verifier takes its time. IPv4 is
always served; IPv6 from ``use_ipv6`` on, which whoever installs the first IPv6 address calls before it does.
"""

import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from shoal.dataplane.ebpf.abi import ABI_VERSION, PROGRAMS, STATES, TICK_SECONDS, built, ffi
from shoal.dataplane.ebpf.libbpf import Object, check, get_pinned, lib, run_program
from shoal.dataplane.ebpf.sizes import Capacity
from shoal.dataplane.ebpf.tables import Dictionary, PerCpuCounters, Table, close_descriptor
from shoal.errors import UnavailableError
from shoal.model import ConnectionState
from shoal.model.states import TIMEOUTS

_CLOCK_MONOTONIC_COARSE = 6  # <linux/time.h>
FAMILIES = (4, 6)
KINDS = ("balancer_xdp", "balancer_tc", "control")
OBJECTS = tuple(f"{kind}{family}.bpf.o" for kind in KINDS for family in FAMILIES)
_HOME = {
    "shoal_xdp": "balancer_xdp",
    "shoal_xdp_local": "balancer_xdp",
    "shoal_tc": "balancer_tc",
    "shoal_sweep": "control",
    "shoal_clock": "control",
    "shoal_list": "control",
    "shoal_sweep_templates": "control",
}
ARRAYS = {"balancer_xdp": "programs_xdp", "balancer_tc": "programs_tc"}
# in the order in which they are put in: nobody may be sent to a program whose own targets are missing
_PLACES = {
    ("balancer_xdp", 4): {
        "SHOAL_PROGRAM_ICMP4": "shoal_xdp_icmp",
        "SHOAL_PROGRAM_RELATED4": "shoal_xdp_related",
        "SHOAL_PROGRAM_OPEN4": "shoal_xdp_open",
        "SHOAL_PROGRAM_ENDPOINT4": "shoal_xdp_endpoint",
    },
    ("balancer_xdp", 6): {
        "SHOAL_PROGRAM_ICMP6": "shoal_xdp_icmp",
        "SHOAL_PROGRAM_RELATED6": "shoal_xdp_related",
        "SHOAL_PROGRAM_OPEN6": "shoal_xdp_open",
        "SHOAL_PROGRAM_ENDPOINT6": "shoal_xdp_endpoint",
        "SHOAL_PROGRAM_IPV6": "shoal_xdp",
        "SHOAL_PROGRAM_IPV6_LOCAL": "shoal_xdp_local",
    },
    ("balancer_tc", 4): {
        "SHOAL_PROGRAM_ICMP4": "shoal_tc_icmp",
        "SHOAL_PROGRAM_RELATED4": "shoal_tc_related",
        "SHOAL_PROGRAM_RELEASE4": "shoal_tc_release",
        "SHOAL_PROGRAM_OPEN4": "shoal_tc_open",
        "SHOAL_PROGRAM_ENDPOINT4": "shoal_tc_endpoint",
    },
    ("balancer_tc", 6): {
        "SHOAL_PROGRAM_ICMP6": "shoal_tc_icmp",
        "SHOAL_PROGRAM_RELATED6": "shoal_tc_related",
        "SHOAL_PROGRAM_RELEASE6": "shoal_tc_release",
        "SHOAL_PROGRAM_OPEN6": "shoal_tc_open",
        "SHOAL_PROGRAM_ENDPOINT6": "shoal_tc_endpoint",
        "SHOAL_PROGRAM_IPV6": "shoal_tc",
    },
}
MAPS = "maps"

_ELEMENTS = {
    "connections4": "struct bucket4",
    "connections6": "struct bucket6",
    "destinations": "struct destination",
    "loads": "struct load",
    "encapsulations": "struct encapsulation",
    "thresholds": "struct threshold",
    "services": "struct service",
    "service_loads": "struct service_load",
    "overloads": "struct overload",
    "service_configs": "struct service_config",
    "members": "struct member",
    "local_pools": "struct local_pool",
    "rings": "__u32",
    "settings": "struct settings",
    "filter": "struct address_filter",
    "ownership": "struct ownership",
    "held_cursor": "struct held_cursor",
    "held_fragments": "struct held_fragment",
    "listing4": "struct connection4",
    "listing6": "struct connection6",
}
_DICTIONARIES = {
    "listeners": ("struct listener_key", "struct listener"),
    "listener_ranges": ("struct listener_range_key", "struct listener_range"),
    "marks": ("__u32", "struct listener"),
    "reverses": ("struct listener_key", "struct reverse"),
    "interfaces": ("__u32", "__u32"),
    "own_addresses": ("__u32", "struct own_addresses"),
    "templates": ("struct template_key", "struct template"),
    "fragments": ("struct fragment_key", "struct fragment_ports"),
    "held_chains": ("struct fragment_key", "struct held_chain"),
    "access": ("struct access_key", "__u32"),
    "source_arrivals": ("struct source_key", "__u64"),
    "localities": ("struct locality_key", "struct locality"),
    "replica_sets": ("struct locality_key", "struct replicas"),
    "local_ports": ("struct local_port_key", "struct local_port"),
}
_COUNTERS = {
    "destination_counters": "struct destination_counters",
    "service_counters": "struct service_counters",
}


_SHARED = frozenset((*_ELEMENTS, *_DICTIONARIES, *_COUNTERS, *ARRAYS.values()))
"""What is pinned; the rest is an object's own."""


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


def _refuse_other_abi(maps: Path) -> bool:
    """Whether a predecessor left its maps. Raises UnavailableError when they are of another ABI version."""
    descriptor = get_pinned(maps / "settings")
    if descriptor is None:
        return False
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
    return bool(found == ABI_VERSION)


def jiffy() -> int:
    """Nanoseconds of the kernel's timer tick, which is what its coarse clocks advance by."""
    return round(time.clock_getres(_CLOCK_MONOTONIC_COARSE) * 1e9)


class Loaded:
    """The loaded programs and the maps, by name.

    ``kept`` names the maps that a predecessor made in another size: with its connections and services they are
    worth more than the new size, which takes a clean stop.
    """

    def __init__(self, pins: Path, capacity: Capacity) -> None:
        self.pins = pins
        maps = pins / MAPS
        maps.mkdir(parents=True, exist_ok=True)
        self.adopted = _refuse_other_abi(maps)
        self._sizes = capacity.entries()
        self.kept: set[str] = set()
        for name, wanted in self._sizes.items():
            pinned = _pinned_entries(maps / name)
            if pinned is not None and pinned != wanted:
                self._sizes[name] = pinned
                self.kept.add(name)
        self._tables: dict[str, Table] = {}
        self._objects: dict[str, Object] = {}
        self._maps: dict[str, Any] = {}
        self.ipv6 = (maps / "connections6").exists()
        self._control(4)
        if not self.adopted:
            self._initialise()
        if self.ipv6:
            self._control(6)

    def n_buckets(self, family: int) -> int:
        """How many buckets the connection table of a family has."""
        return self._sizes[f"connections{family}"]

    def use_ipv6(self) -> None:
        """Serve IPv6 on every hook in use, and on those to come. Returns when packets are served."""
        if self.ipv6:
            return
        self._control(6)
        for kind in ARRAYS:
            if f"{kind}4.bpf.o" in self._objects:
                self._object(kind, 6)
        self.ipv6 = True

    def _control(self, family: int) -> None:
        """Load a family's control programs, which declare the maps that all others share."""
        found = self._object("control", family).maps()
        self._maps = dict(found) | self._maps
        if family == 6:
            self.table("settings")[0].n_buckets6 = self.n_buckets(6)

    def _object(self, kind: str, family: int) -> Object:
        name = f"{kind}{family}.bpf.o"
        if name not in self._objects:
            loaded = self._load(name)
            self._objects[name] = loaded
            if kind in ARRAYS:
                self._fill_places(loaded, kind, family)
        return self._objects[name]

    def _load(self, name: str) -> Object:
        loaded = Object(str(built(name)))
        for map_name, handle in loaded.maps():
            if map_name in self._sizes:
                size = self._sizes[map_name]
                check(lib.bpf_map__set_max_entries(handle, size), problem="map size refused", where=map_name)
            if map_name in _SHARED:
                lib.bpf_map__set_pin_path(handle, os.fsencode(self.pins / MAPS / map_name))
        try:
            loaded.load()
        except BaseException:
            loaded.close()
            raise
        return loaded

    def _fill_places(self, loaded: Object, kind: str, family: int) -> None:
        """Let the hook's programs go on to those of this object. A predecessor's are replaced in one step each.

        The array is pinned because the kernel empties it when nobody in user space holds it any more
        (bpf_map_put_uref(), kernel/bpf/syscall.c).
        """
        array = lib.bpf_map__fd(dict(loaded.maps())[ARRAYS[kind]])
        for place, program in _PLACES[kind, family].items():
            key, value = ffi.new("__u32 *", PROGRAMS[place]), ffi.new("__u32 *", loaded.program(program))
            result = lib.bpf_map_update_elem(array, key, value, 0)
            check(result, problem=f"cannot put {program} into its place", where=loaded.path)

    def _initialise(self) -> None:
        settings = self.table("settings")[0]
        settings.hash_seed = secrets.randbits(64)
        settings.n_buckets4 = self.n_buckets(4)
        settings.n_buckets6 = self.n_buckets(6)
        for state in ConnectionState:
            number = STATES["SHOAL_" + state.name]
            settings.timeout_ticks[number] = round(TIMEOUTS[state] / TICK_SECONDS)
        settings.jiffy = jiffy()
        settings.clock_offset = self._clock_offset(settings.jiffy)
        settings.abi_version = ABI_VERSION

    def _clock_offset(self, jiffy: int) -> int:
        """Nanoseconds from CLOCK_MONOTONIC to the clock of jiffies, which goes at the same rate (modulo 2^64)."""
        reading = ffi.new("struct clock_reading *")
        run_program(self.program("shoal_clock"), reading)
        return int(reading.jiffies * jiffy - time.monotonic_ns()) % (1 << 64)

    def program(self, name: str, *, family: int = 4) -> int:
        """The descriptor of a program; whatever it goes on to is in place."""
        kind = _HOME[name]
        if self.ipv6:
            self._object(kind, 6)
        return self._object(kind, family).program(name)

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
