"""The maps as Python works with them: tables mapped into memory, dictionaries, per-CPU counters."""

import errno
import mmap
import os
from collections.abc import Iterator
from typing import Any

from shoal.dataplane.ebpf.abi import ffi
from shoal.dataplane.ebpf.libbpf import check, lib


class Table:
    """An array map in memory. ``table[i]`` is the struct itself: a store to a field is one store in the kernel.

    A struct is a bare address: it must not be used after its table is gone.
    """

    def __init__(self, descriptor: int, element: str, entries: int) -> None:
        self._stride = -(-ffi.sizeof(element) // 8) * 8  # array_map_alloc(), kernel/bpf/arraymap.c
        size = self._stride * entries
        self._memory = mmap.mmap(descriptor, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, mmap.MAP_SHARED)
        self._bytes: Any = ffi.cast("char *", ffi.from_buffer(self._memory))
        self._pointer = ffi.typeof(f"{element} *")
        self.entries = entries

    def __len__(self) -> int:
        return self.entries

    def _at(self, index: int) -> Any:
        if not 0 <= index < self.entries:
            raise IndexError(index)
        return ffi.cast(self._pointer, self._bytes + index * self._stride)

    def __getitem__(self, index: int) -> Any:
        return self._at(index)[0]

    def clear(self) -> None:
        """Fill with zeros."""
        ffi.memmove(self._bytes, bytes(self._stride * self.entries), self._stride * self.entries)

    def store(self, index: int, value: Any) -> None:
        """Replace a whole element, word by word; nobody may be reading it yet."""
        self._at(index)[0] = value


class Dictionary:
    """A hash map. Keys and values are cffi structs; an update replaces a value in one step."""

    def __init__(self, descriptor: int, key: str, value: str) -> None:
        self._descriptor = descriptor
        self._key = key
        self._value = value

    def put(self, key: Any, value: Any) -> None:
        """Insert or replace. Raises KernelError when the map is full."""
        result = lib.bpf_map_update_elem(self._descriptor, key, value, 0)
        check(result, problem="cannot write to a BPF map", where=self._key, fix="raise the limits")

    def delete(self, key: Any) -> None:
        """Remove a key, if it is there."""
        result = lib.bpf_map_delete_elem(self._descriptor, key)
        if result != -errno.ENOENT:
            check(result, problem="cannot delete from a BPF map", where=self._key)

    def get(self, key: Any) -> Any | None:
        """A copy of the value, or None."""
        value = ffi.new(f"{self._value} *")
        result = lib.bpf_map_lookup_elem(self._descriptor, key, value)
        if result == -errno.ENOENT:
            return None
        check(result, problem="cannot read a BPF map", where=self._key)
        return value

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every key with a copy of its value; entries that vanish meanwhile are left out."""
        keys = []
        key = ffi.NULL
        while True:
            following = ffi.new(f"{self._key} *")
            if lib.bpf_map_get_next_key(self._descriptor, key, following) < 0:
                break
            keys.append(following)
            key = following
        for key in keys:
            value = self.get(key)
            if value is not None:
                yield key, value


class PerCpuCounters:
    """A per-CPU array of structs of 64-bit counters; reading adds up over the CPUs."""

    def __init__(self, descriptor: int, element: str) -> None:
        self._descriptor = descriptor
        self._words = ffi.sizeof(element) // 8
        self._cpus = lib.libbpf_num_possible_cpus()
        self._room = ffi.new("__u64[]", self._words * self._cpus)
        self._zeros = ffi.new("__u64[]", self._words * self._cpus)

    def read(self, index: int) -> list[int]:
        """The sums of every counter of one element."""
        key = ffi.new("__u32 *", index)
        check(lib.bpf_map_lookup_elem(self._descriptor, key, self._room), problem="cannot read counters")
        values = ffi.unpack(self._room, self._words * self._cpus)
        return [sum(values[word :: self._words]) for word in range(self._words)]

    def clear(self, index: int) -> None:
        """Set one element to zero."""
        key = ffi.new("__u32 *", index)
        check(lib.bpf_map_update_elem(self._descriptor, key, self._zeros, 0), problem="cannot clear counters")


def close_descriptor(descriptor: int) -> None:
    """Close a descriptor that libbpf gave to us."""
    os.close(descriptor)
