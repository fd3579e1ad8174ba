"""Opening tunnels' packets by our own BPF program, where the kernel has no device for it.

The link and the maps are pinned in a folder of their own, so they outlive this process. A change loads a new program
with its maps filled and puts it in the old one's place in one step: no packet sees half a change.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from shoal.dataplane.ebpf.abi import built, ffi
from shoal.dataplane.ebpf.backend import find_interfaces
from shoal.dataplane.ebpf.libbpf import Object, check, get_pinned, lib
from shoal.dataplane.ebpf.links import LINKS, Links, interface_of
from shoal.dataplane.ebpf.tables import Dictionary, close_descriptor
from shoal.model import Hook
from shoal.realserver.tunnels import Opening
from shoal.system.bpffs import ensure_bpffs

OBJECT = "decapsulate.bpf.o"
PROGRAM = "shoal_decapsulate"
OPENING_COUNTS = "opening_counts"
_OPENINGS = "openings"
_FILTER_HANDLE = 0x5352  # "SR"; a router's own filter has another, and a host may be both


class Decapsulation:
    """The program on this host's interfaces; ``pins`` is its folder on a bpffs."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins

    def apply(
        self, wanted: frozenset[Opening], *, interfaces: Collection[str], present: Mapping[str, int]
    ) -> None:
        """Open exactly this, on exactly these interfaces. Raises KernelError or ForbiddenError.

        ``present`` are all the interfaces that exist, name to index.
        """
        if not wanted:
            self.remove(present)
            return
        ensure_bpffs(self._pins)
        self._pins.mkdir(parents=True, exist_ok=True)
        loaded = load(wanted)
        try:
            links = Links(self._pins, lambda _name: loaded.program(PROGRAM), filter_handle=_FILTER_HANDLE)
            links.detach_all_but(interfaces, present=present)
            for interface in find_interfaces(interfaces):
                links.attach(interface, Hook.TC)
            self._pin(loaded)
        finally:
            loaded.close()

    def openings(self) -> frozenset[Opening]:
        """What the program opens now; nothing where it is not attached."""
        descriptor = get_pinned(self._pins / _OPENINGS) if self.interfaces() else None
        if descriptor is None:
            return frozenset()
        try:
            keys = [key for key, _ in Dictionary(descriptor, "struct opening_key", "__u32").items()]
        finally:
            close_descriptor(descriptor)
        return frozenset(
            Opening(
                address=bytes(key.address), protocol=key.protocol, port=int.from_bytes(_port(key.port), "big")
            )
            for key in keys
        )

    def interfaces(self) -> tuple[str, ...]:
        """Where it is attached."""
        folder = self._pins / LINKS
        if not folder.exists():
            return ()
        return tuple(sorted(map(interface_of, folder.iterdir())))

    def remove(self, interfaces: Mapping[str, int]) -> bool:
        """Detach and unpin. ``interfaces`` are those that exist. False: there was nothing."""
        if not self._pins.exists():
            return False
        Links(self._pins, lambda _name: 0, filter_handle=_FILTER_HANDLE).remove(dict(interfaces))
        shutil.rmtree(self._pins, ignore_errors=True)
        return True

    def _pin(self, loaded: Object) -> None:
        for name, handle in loaded.maps():
            path = self._pins / name
            path.unlink(missing_ok=True)
            result = lib.bpf_obj_pin(lib.bpf_map__fd(handle), os.fsencode(path))
            check(result, problem="cannot pin a map", where=str(path))


def load(wanted: Iterable[Opening]) -> Object:
    """The program, loaded, with its map filled; nothing is attached. The caller closes it."""
    loaded = Object(str(built(OBJECT)))
    try:
        loaded.load()
        openings = Dictionary(lib.bpf_map__fd(dict(loaded.maps())[_OPENINGS]), "struct opening_key", "__u32")
        for each in wanted:
            key = ffi.new("struct opening_key *", {"protocol": each.protocol})
            key.address = each.address
            key.port = int.from_bytes(each.port.to_bytes(2, "big"), "little")
            openings.put(key, ffi.new("__u32 *", 1))
    except BaseException:
        loaded.close()
        raise
    return loaded


def _port(number: int) -> bytes:
    return int(number).to_bytes(2, "little")
