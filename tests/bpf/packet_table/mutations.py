"""Frames changed at random, mostly where it hurts: lengths, versions, offsets, flags, ports."""

import random

INTERESTING = (0x00, 0x01, 0x04, 0x05, 0x06, 0x0F, 0x11, 0x3F, 0x40, 0x45, 0x4F, 0x60, 0x7F, 0x80, 0xFE, 0xFF)
HEADERS = 90  # bytes of a frame that hold headers
LONGEST = 1514


def mutate(frame: bytes, chance: random.Random) -> bytes:
    """The frame after one to four changes; never shorter than an Ethernet header."""
    changed = bytearray(frame)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        chance.choice((_flip, _flip, _set, _set, _set, _word, _cut, _grow, _remove, _insert, _swap))(
            changed, chance
        )
    return bytes(changed[:LONGEST]) + bytes(max(0, 14 - len(changed)))


def _place(frame: bytearray, chance: random.Random) -> int:
    """Nearly always behind the MACs, and in the headers."""
    low = 0 if chance.random() < 0.02 or len(frame) < 16 else 12
    return chance.randrange(low, max(low + 1, min(len(frame), HEADERS)))


def _flip(frame: bytearray, chance: random.Random) -> None:
    frame[_place(frame, chance)] ^= 1 << chance.randrange(8)


def _set(frame: bytearray, chance: random.Random) -> None:
    frame[_place(frame, chance)] = chance.choice((*INTERESTING, chance.randrange(256)))


def _word(frame: bytearray, chance: random.Random) -> None:
    """A 16-bit field becomes small, large, or the frame's length give or take."""
    place = _place(frame, chance) & ~1
    value = chance.choice((0, 1, 7, 8, 19, 20, 21, 0x1FFF, 0x2000, 0xFFFF, len(frame) - 14, len(frame) - 13))
    frame[place : place + 2] = value.to_bytes(2, "big")


def _cut(frame: bytearray, chance: random.Random) -> None:
    del frame[chance.randrange(14, len(frame) + 1) if len(frame) >= 14 else len(frame) :]


def _grow(frame: bytearray, chance: random.Random) -> None:
    frame += chance.randbytes(chance.randrange(1, 64))


def _remove(frame: bytearray, chance: random.Random) -> None:
    place = _place(frame, chance)
    del frame[place : place + chance.choice((1, 2, 4, 8))]


def _insert(frame: bytearray, chance: random.Random) -> None:
    place = _place(frame, chance)
    frame[place:place] = chance.randbytes(chance.choice((1, 2, 4, 8)))


def _swap(frame: bytearray, chance: random.Random) -> None:
    """Two fields of four bytes change places."""
    one, other = (_place(frame, chance) & ~1 for _ in range(2))
    frame[one : one + 4], frame[other : other + 4] = frame[other : other + 4], frame[one : one + 4]
