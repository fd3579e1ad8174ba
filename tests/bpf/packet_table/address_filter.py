"""The filter that tells at a glance whose addresses are nobody's here: which bit an address has (bpf/abi.h)."""

import struct
from ipaddress import IPv4Address, IPv6Address

from shoal.model import Address

MULTIPLIER = 0x9E3779B1
BITS = 16  # of a place in the part for virtual addresses, where more look alike
REAL_BITS = 20


def folded(address: Address) -> int:
    """32 bits of an address, as it lies in memory."""
    fold = 0
    for (word,) in struct.iter_unpack("<I", address.packed):
        fold ^= word
    return fold


def filter_bit(fold: int, *, bits: int = BITS) -> int:
    """The filter's bit of a folded address."""
    return (fold * MULTIPLIER & 0xFFFFFFFF) >> 32 - bits


def look_alike(address: Address) -> Address:
    """Another address with the same bit in either part of the filter."""
    if isinstance(address, IPv6Address):
        words = struct.unpack("!4I", address.packed)
        return IPv6Address(struct.pack("!4I", words[0], words[1], words[3], words[2]))
    low_bits = 32 - REAL_BITS
    bit = filter_bit(folded(address), bits=REAL_BITS)
    inverse = pow(MULTIPLIER, -1, 1 << 32)
    folds = ((bit << low_bits | low) * inverse & 0xFFFFFFFF for low in range(1 << low_bits))
    found = (IPv4Address(fold.to_bytes(4, "little")) for fold in folds)
    return next(each for each in found if each.packed[0] == 10 and each != address)
