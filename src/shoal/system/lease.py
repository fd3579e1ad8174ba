"""The ownership lease that ``pulse`` keeps in the dataplane (``struct ownership`` in ``bpf/abi.h``).

While a router holds floating addresses, ``pulse`` renews the lease with every heartbeat. Once it runs out (``pulse``
died, hangs, or the machine was paused) the BPF programs drop ARP for the floating addresses: the router has let go
as far as the network can see, and goes on forwarding what still reaches it. Times are CLOCK_BOOTTIME nanoseconds,
because that clock also runs while a virtual machine sleeps.

A map is opened by its pin and mapped into memory, so renewing is one store and needs neither ``lvsd`` nor a system
call.
"""

import ctypes
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from shoal.model import Address

PIN_NAME = "maps/ownership"  # where the eBPF dataplane pins it
MAX_ADDRESSES = 1000  # SHOAL_MAX_FLOATING in bpf/abi.h
NOT_IN_USE = 0

_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_BPF_OBJ_GET = 7
_LEASE_OFFSET = 0
_HANDOVER_OFFSET = 8
_COUNT_OFFSET = 16
_ADDRESSES_OFFSET = 24
_ADDRESS_SIZE = 16
_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address (RFC 4291 2.5.5.2)
_SIZE = _ADDRESSES_OFFSET + _ADDRESS_SIZE * MAX_ADDRESSES


def _open_pin(path: Path) -> int:
    """``bpf(BPF_OBJ_GET)``: a descriptor of a pinned map (include/uapi/linux/bpf.h)."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    attributes = ctypes.create_string_buffer(struct.pack("=QII", ctypes.addressof(name), 0, 0), 120)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.syscall(_SYS_BPF[os.uname().machine], _BPF_OBJ_GET, attributes, 16)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return descriptor


class Lease:
    """The mapped lease of one router."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        # native fields over the mapping, so that a renewal is one store and no packet sees half of it
        self._lease = ctypes.c_uint64.from_buffer(memory, _LEASE_OFFSET)
        self._handover = ctypes.c_uint64.from_buffer(memory, _HANDOVER_OFFSET)
        self._count = ctypes.c_uint32.from_buffer(memory, _COUNT_OFFSET)

    @classmethod
    def open(cls, pins: Path) -> "Lease | None":
        """The lease of the dataplane pinned at ``pins``; None while no dataplane is installed there."""
        try:
            descriptor = _open_pin(pins / PIN_NAME)
        except FileNotFoundError:
            return None
        try:
            return cls(mmap.mmap(descriptor, _SIZE, mmap.MAP_SHARED))
        finally:
            os.close(descriptor)

    def set_addresses(self, addresses: Sequence[Address]) -> None:
        """Name the floating addresses, of either family, that the lease covers."""
        if len(addresses) > MAX_ADDRESSES:
            raise ValueError(f"{len(addresses)} floating addresses, at most {MAX_ADDRESSES}")
        self._count.value = 0
        for index, address in enumerate(addresses):
            offset = _ADDRESSES_OFFSET + _ADDRESS_SIZE * index
            packed = address.packed if address.version == 6 else _MAPPED + address.packed
            self._memory[offset : offset + _ADDRESS_SIZE] = packed
        self._count.value = len(addresses)

    def renew(self, until: int) -> None:
        """Hold the addresses until this time; ``NOT_IN_USE`` turns the lease off (a router without peers)."""
        self._lease.value = until

    def begin_handover(self, until: int) -> None:
        """Until this time a real server's packet without a connection is sent on in its virtual server's name."""
        self._handover.value = until

    def close(self) -> None:
        """Unmap. The lease stays as it is, and runs out."""
        del self._lease, self._handover, self._count  # views keep a mapping open
        self._memory.close()
