"""IPv6 extension headers, and frames that have some (RFC 8200 4). Nothing is shared with the product."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from support.packets import ETHERNET, FRAGMENT, FRAGMENT_HEADER, IPV6, SKIPPED_HEADERS

HOP_BY_HOP, ROUTING, DESTINATION = 0, 43, 60
AUTHENTICATION, ESP, NO_NEXT, MOBILITY = 51, 50, 59, 135
EXPERIMENT = 0x1E  # an option that who does not know it skips (RFC 4727)
LONGEST_OPTION = 255
NEXT_HEADER = 6  # places in an IPv6 header
PAYLOAD_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension header; ``content`` is all of it but its first byte, which names the next one."""

    kind: int
    content: bytes


def options(size: int = 8, *, kind: int = DESTINATION) -> Extension:
    """A header of options of ``size`` bytes in all, a multiple of 8."""
    found, missing = b"", size - 2
    while missing:
        length = min(missing - 2, LONGEST_OPTION - 1)
        found += bytes([EXPERIMENT, length]) + bytes(range(length))
        missing -= 2 + length
    return Extension(kind, bytes([size // 8 - 1]) + found)


def hop_by_hop(size: int = 8) -> Extension:
    """Options for everybody on the way."""
    return options(size, kind=HOP_BY_HOP)


def routing(*, segments_left: int = 0, kind: int = 0, addresses: int = 1) -> Extension:
    """A routing header (RFC 8200 4.4); ``kind`` is its routing type."""
    ways = b"".join(
        bytes.fromhex("20010db800770000000000000000") + struct.pack("!H", n) for n in range(addresses)
    )
    return Extension(ROUTING, struct.pack("!BBBI", 2 * addresses, kind, segments_left, 0) + ways)


def fragment(place: int, number: int) -> Extension:
    """The header of a fragment; ``place`` is its offset and flags."""
    return Extension(FRAGMENT_HEADER, FRAGMENT.pack(0, place, number)[1:])


def chained(extensions: Sequence[Extension], last: int) -> tuple[int, bytes]:
    """The headers in a row, and the kind of the first; ``last`` is what follows them."""
    content = b""
    for each in reversed(extensions):
        content = bytes([last]) + each.content + content
        last = each.kind
    return last, content


def extended(frame: bytes, *extensions: Extension) -> bytes:
    """The frame with extension headers right behind the IPv6 header. No checksum covers them."""
    packet = bytearray(frame[ETHERNET.size :])
    kind, content = chained(extensions, packet[NEXT_HEADER])
    (length,) = struct.unpack_from("!H", packet, PAYLOAD_LENGTH)
    struct.pack_into("!HB", packet, PAYLOAD_LENGTH, length + len(content), kind)
    return frame[: ETHERNET.size] + bytes(packet[: IPV6.size]) + content + bytes(packet[IPV6.size :])


def fragments(
    frame: bytes,
    size: int,
    *,
    number: int,
    in_front: Sequence[Extension] = (),
    behind: Sequence[Extension] = (),
) -> list[bytes]:
    """A whole packet in fragments of at most ``size`` bytes, a multiple of 8, first to last.

    The headers ``in_front`` are in each of them, those ``behind`` the fragment header in the first (RFC 8200 4.5).
    """
    start = ETHERNET.size + IPV6.size
    first_kind, content = chained(behind, frame[ETHERNET.size + NEXT_HEADER])
    whole = content + frame[start:]
    found = []
    for offset in range(0, len(whole), size):
        part, more = whole[offset : offset + size], offset + size < len(whole)
        bare = bytearray(frame[:start] + part)
        struct.pack_into("!HB", bare, ETHERNET.size + PAYLOAD_LENGTH, len(part), first_kind)
        found.append(extended(bytes(bare), *in_front, fragment(offset | more, number)))
    return found


def transport_of(packet: bytes) -> tuple[int, int]:
    """The protocol behind the extension headers of an IPv6 packet that is no later fragment, and where it begins."""
    kind, place = packet[NEXT_HEADER], IPV6.size
    while kind in SKIPPED_HEADERS or kind == FRAGMENT_HEADER:
        size = FRAGMENT.size if kind == FRAGMENT_HEADER else 8 * (packet[place + 1] + 1)
        kind, place = packet[place], place + size
    return kind, place
