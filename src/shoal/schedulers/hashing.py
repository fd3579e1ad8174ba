"""The kernel's hashes that schedulers use."""

from shoal.model import Address

GOLDEN_RATIO_32 = 0x61C88647  # include/linux/hash.h
MASK_32 = (1 << 32) - 1
_MASK_64 = (1 << 64) - 1
_SIPHASH_CONSTANTS = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def hash_32(value: int, bits: int) -> int:
    """The high ``bits`` of a multiplicative hash of 32 bits (hash_32(), include/linux/hash.h)."""
    return (value * GOLDEN_RATIO_32 & MASK_32) >> (32 - bits)


def folded(address: Address) -> int:
    """An address in 32 bits: of IPv6 the exclusive or of its four words (addr_fold in ip_vs_sh.c and others)."""
    whole = int(address)
    return (whole ^ whole >> 32 ^ whole >> 64 ^ whole >> 96) & MASK_32


def endpoint_sum(address: Address, port: int, *, offset: int = 0) -> int:
    """What sh and mh hash: folded address, port and offset added up in 32 bits."""
    return (folded(address) + port + offset) & MASK_32


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK_64


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    """SIPHASH_PERMUTATION (include/linux/siphash.h)."""
    v0 = (v0 + v1) & _MASK_64
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 = (v2 + v3) & _MASK_64
    v3 = _rotated(v3, 16) ^ v2
    v0 = (v0 + v3) & _MASK_64
    v3 = _rotated(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK_64
    v1 = _rotated(v1, 17) ^ v2
    return v0, v1, _rotated(v2, 32), v3


def siphash13(value: int, key: int) -> int:
    """SipHash-1-3 of four bytes, with ``key`` as both halves of the key: 64 bits.

    Its low 32 bits are hsiphash() on 64-bit kernels (lib/siphash.c).
    """
    v0, v1, v2, v3 = (constant ^ key for constant in _SIPHASH_CONSTANTS)
    last = 4 << 56 | value
    v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ last)
    v0, v2 = v0 ^ last, v2 ^ 0xFF
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3
