"""The maps as Python works with them: tables mapped into memory, dictionaries, per-CPU counters.

What is done to many elements at once takes one copy or one system call, not one for each.
"""

import errno
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from shoal.dataplane.ebpf.abi import ffi
from shoal.dataplane.ebpf.libbpf import check, lib

BATCH = 1024  # elements of a per-CPU array that one call reads or clears
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def row_format(element: str, fields: Sequence[str]) -> struct.Struct:
    """Unpacks these fields (in the order of the struct) of one element; arrays and structs come as bytes."""
    return packing(element, 0, fields)


def packing(element: str, head: int, fields: Sequence[str]) -> struct.Struct:
    """The same after so many bytes in one piece, if there are any; what is left out is packed as zeros."""
    layout, position, stride = f"={head}s" if head else "=", head, stride_of(element)
    members = dict(ffi.typeof(element).fields)
    for name in fields:
        member = members[name]
        size = ffi.sizeof(member.type)
        letter = _LETTERS[size] if member.type.kind == "primitive" else f"{size}s"
        layout += f"{member.offset - position}x{letter}"
        position = member.offset + size
    return struct.Struct(f"{layout}{stride - position}x")


def stride_of(element: str) -> int:
    """From one element to the next (array_map_alloc(), kernel/bpf/arraymap.c)."""
    return int(-(-ffi.sizeof(element) // 8) * 8)


class Table:
    """An array map in memory. ``table[i]`` is the struct itself: a store to a field is one store in the kernel.

    A struct is a bare address: it must not be used after its table is gone.
    """

    def __init__(self, descriptor: int, element: str, entries: int) -> None:
        self._element = element
        self._stride = stride_of(element)
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

    def store_all(self, first: int, content: Any) -> None:
        """Replace the elements from ``first`` on by bytes of theirs; nobody may be reading them yet."""
        size = len(content)
        if first < 0 or first * self._stride + size > self.entries * self._stride:
            raise IndexError(first)
        self._memory[first * self._stride : first * self._stride + size] = content

    def raw(self, first: int, length: int) -> bytes:
        """A copy of ``length`` elements."""
        return self._memory[first * self._stride : (first + length) * self._stride]

    def rows(self, *fields: str) -> Iterator[tuple[Any, ...]]:
        """These fields of every element, from one copy of the table."""
        return row_format(self._element, fields).iter_unpack(self.raw(0, self.entries))

    def row(self, index: int, of: struct.Struct) -> tuple[Any, ...]:
        """One element, unpacked by a ``row_format`` of this table."""
        return of.unpack_from(self._memory, index * self._stride)

    def column(self, field: str) -> bytes:
        """A field of one byte of every element."""
        offset = dict(ffi.typeof(self._element).fields)[field].offset
        with memoryview(self._memory) as view:
            return view[offset : self.entries * self._stride : self._stride].tobytes()


class Dictionary:
    """A hash map. Keys and values are cffi structs or their bytes; an update replaces a value in one step."""

    def __init__(self, descriptor: int, key: str, value: str, *, entries: int = 4096) -> None:
        self._descriptor = descriptor
        self._key = key
        self._value = value
        self._entries = entries

    def put(self, key: Any, value: Any) -> None:
        """Insert or replace. Raises KernelError when the map is full."""
        result = lib.bpf_map_update_elem(self._descriptor, _pointer(key), _pointer(value), 0)
        check(result, problem="cannot write to a BPF map", where=self._key, fix="raise the limits")

    def put_all(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Insert or replace many in one call. Raises KernelError when the map is full: some are in it then."""
        if not entries:
            return
        keys, values = (b"".join(column) for column in zip(*entries, strict=True))
        count = ffi.new("__u32 *", len(entries))
        result = lib.bpf_map_update_batch(
            self._descriptor, ffi.from_buffer(keys), ffi.from_buffer(values), count, ffi.NULL
        )
        check(result, problem="cannot write to a BPF map", where=self._key, fix="raise the limits")

    def delete(self, key: Any) -> None:
        """Remove a key, if it is there."""
        result = lib.bpf_map_delete_elem(self._descriptor, _pointer(key))
        if result != -errno.ENOENT:
            check(result, problem="cannot delete from a BPF map", where=self._key)

    def get(self, key: Any) -> Any | None:
        """A copy of the value, or None."""
        value = ffi.new(f"{self._value} *")
        result = lib.bpf_map_lookup_elem(self._descriptor, _pointer(key), value)
        if result == -errno.ENOENT:
            return None
        check(result, problem="cannot read a BPF map", where=self._key)
        return value

    def raw(self) -> tuple[bytes, bytes]:
        """All keys and all values, each in one piece and in the same order."""
        room = self._entries
        while True:
            keys, values = ffi.new(f"{self._key}[]", room), ffi.new(f"{self._value}[]", room)
            count = ffi.new("__u32 *", room)
            # where to go on: a hash map writes a number here, a trie a key (kernel/bpf/syscall.c)
            after = ffi.new("char[]", max(4, ffi.sizeof(self._key)))
            result = lib.bpf_map_lookup_batch(
                self._descriptor, ffi.NULL, after, keys, values, count, ffi.NULL
            )
            if result == -errno.ENOENT:  # there is no more: all of it has been read
                found = count[0]
                return (
                    ffi.buffer(keys, found * ffi.sizeof(self._key))[:],
                    ffi.buffer(values, found * ffi.sizeof(self._value))[:],
                )
            if result != -errno.ENOSPC:
                check(result, problem="cannot read a BPF map", where=self._key)
            room *= 2

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every key with a copy of its value, as structs."""
        keys, values = self.raw()
        key_size, value_size = ffi.sizeof(self._key), ffi.sizeof(self._value)
        for position in range(len(keys) // key_size):
            key, value = ffi.new(f"{self._key} *"), ffi.new(f"{self._value} *")
            ffi.memmove(key, keys[position * key_size : (position + 1) * key_size], key_size)
            ffi.memmove(value, values[position * value_size : (position + 1) * value_size], value_size)
            yield key, value


def _pointer(content: Any) -> Any:
    return ffi.from_buffer(content) if isinstance(content, bytes) else content


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
        return self._sums(ffi.unpack(self._room, self._words * self._cpus), 0)

    def _sums(self, values: list[int], begin: int) -> list[int]:
        end = begin + self._words * self._cpus
        return [sum(values[begin + word : end : self._words]) for word in range(self._words)]

    def read_all(self, length: int) -> list[list[int]]:
        """The same of the first ``length`` elements, in slices of one system call each."""
        found: list[list[int]] = []
        share = self._words * self._cpus
        keys, room = ffi.new("__u32[]", BATCH), ffi.new("__u64[]", BATCH * share)
        before, after = ffi.new("__u32 *"), ffi.new("__u32 *")
        while len(found) < length:
            count = ffi.new("__u32 *", min(BATCH, length - len(found)))
            start = before if found else ffi.NULL
            result = lib.bpf_map_lookup_batch(self._descriptor, start, after, keys, room, count, ffi.NULL)
            if result != -errno.ENOENT:  # which only says that the map ends here
                check(result, problem="cannot read counters")
            values = ffi.unpack(room, count[0] * share)
            found += [self._sums(values, position * share) for position in range(count[0])]
            if result < 0:
                break
            before[0] = after[0]
        return found

    def clear(self, index: int) -> None:
        """Set one element to zero."""
        key = ffi.new("__u32 *", index)
        check(lib.bpf_map_update_elem(self._descriptor, key, self._zeros, 0), problem="cannot clear counters")

    def clear_all(self, indices: Sequence[int]) -> None:
        """Set these elements to zero, in slices of one system call each."""
        for begin in range(0, len(indices), BATCH):
            part = indices[begin : begin + BATCH]
            zeros = ffi.new("__u64[]", len(part) * self._words * self._cpus)
            count = ffi.new("__u32 *", len(part))
            keys = ffi.new("__u32[]", part)
            result = lib.bpf_map_update_batch(self._descriptor, keys, zeros, count, ffi.NULL)
            check(result, problem="cannot clear counters")


def close_descriptor(descriptor: int) -> None:
    """Close a descriptor that libbpf gave to us."""
    os.close(descriptor)
