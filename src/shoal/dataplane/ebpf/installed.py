"""Which programs are at work, as the pins of a running dataplane show it. Looks only; changes nothing."""

from pathlib import Path

from shoal.dataplane.ebpf.abi import PROGRAMS, ffi
from shoal.dataplane.ebpf.libbpf import check, get_pinned, lib
from shoal.dataplane.ebpf.links import LINKS
from shoal.dataplane.ebpf.objects import ARRAYS, MAPS
from shoal.dataplane.ebpf.tables import close_descriptor


def attached_programs(pins: Path) -> dict[str, int]:
    """The kernel's number of the program on each pinned link (struct bpf_link_info: type, id, prog_id)."""
    found = {}
    for pin in sorted((pins / LINKS).iterdir()):
        if pin.is_dir() or (descriptor := get_pinned(pin)) is None:
            continue  # a clsact filter has no link
        information, size = ffi.new("__u32[]", 32), ffi.new("__u32 *", 128)
        try:
            check(
                lib.bpf_obj_get_info_by_fd(descriptor, information, size), problem="link information refused"
            )
        finally:
            close_descriptor(descriptor)
        found[pin.name] = int(information[2])
    return found


def placed_programs(pins: Path) -> dict[str, int]:
    """The kernel's number of the program in each place that tail calls go to; empty places are left out."""
    found = {}
    for array in ARRAYS.values():
        descriptor = get_pinned(pins / MAPS / array)
        if descriptor is None:
            continue
        try:
            for place, index in PROGRAMS.items():
                value = ffi.new("__u32 *")
                if lib.bpf_map_lookup_elem(descriptor, ffi.new("__u32 *", index), value) == 0:
                    found[f"{array} {place}"] = int(value[0])
        finally:
            close_descriptor(descriptor)
    return found
