"""Addresses, ports and endpoints of either family as the maps hold them.

Where either family may stand, an address takes 16 bytes and an IPv4 address is mapped into them (RFC 4291 2.5.5.2).
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from shoal.dataplane.ebpf.abi import LIMITS, ffi
from shoal.model import Address, Listener, Protocol

PROTOCOL_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}
PROTOCOLS = {number: protocol for protocol, number in PROTOCOL_NUMBERS.items()}
Endpoint = tuple[Address, int]

_MAPPED = bytes(10) + b"\xff\xff"
_ENDPOINT = struct.Struct("!16sH")
_ENDPOINT_IPV4 = struct.Struct("!12sIH")
_WORDS = struct.Struct("<4I")
_LISTENER_KEY = struct.Struct("!16sHBx")
_MAPPED_WORDS = _WORDS.unpack(_MAPPED + bytes(4))[:3]
ENDPOINT_SIZE = _ENDPOINT.size


def packed(address: Address) -> bytes:
    """``struct address6``."""
    return address.packed if address.version == 6 else _MAPPED + address.packed


def address_of(content: bytes) -> Address:
    """The address of a ``struct address6``."""
    return IPv4Address(content[12:]) if content.startswith(_MAPPED) else IPv6Address(content)


def address_in(struct_address: Any) -> Address:
    """The address in a map's field of type ``struct address4`` or ``struct address6``."""
    content = bytes(ffi.buffer(ffi.addressof(struct_address)))
    return IPv4Address(content) if len(content) == 4 else address_of(content)


def port_of(number: int) -> int:
    """The port of a map's field."""
    return number >> 8 | (number & 0xFF) << 8


def endpoint_bytes(address: Address, port: int) -> bytes:
    """An endpoint in 18 bytes: how its structs begin, and a quicker key than the pair."""
    if isinstance(address, IPv4Address):  # called for every real server: in one step
        return _ENDPOINT_IPV4.pack(_MAPPED, int(address), port)
    return _ENDPOINT.pack(address.packed, port)


def endpoint_of(content: bytes) -> Endpoint:
    """The endpoint of 18 bytes."""
    address, port = _ENDPOINT.unpack(content)
    return address_of(address), port


def listener_key(listener: Listener) -> bytes:
    """``struct listener_key``."""
    return _LISTENER_KEY.pack(packed(listener.address), listener.port, PROTOCOL_NUMBERS[listener.protocol])


def outside_key(listener: Listener) -> bytes:
    """The same with port 0 for a range, as the map "reverses" names it."""
    port = 0 if listener.is_range else listener.port
    return _LISTENER_KEY.pack(packed(listener.address), port, PROTOCOL_NUMBERS[listener.protocol])


def listener_of(key: bytes) -> Listener:
    """The listener of a ``struct listener_key``."""
    address, port, protocol = _LISTENER_KEY.unpack(key)
    return Listener(address=address_of(address), port=port, protocol=PROTOCOLS[protocol])


def filter_bits(addresses: Iterable[bytes], *, n_bits: int = LIMITS["SHOAL_FILTER_BITS"]) -> set[int]:
    """The bits of addresses in a part of ``struct address_filter``, which says how they are reckoned.

    ``n_bits`` is SHOAL_FILTER_BITS or, for real servers, SHOAL_REAL_FILTER_BITS.
    """
    shift, mask = 32 - n_bits, (1 << n_bits) - 1
    return {
        ((words[3] if words[:3] == _MAPPED_WORDS else words[0] ^ words[1] ^ words[2] ^ words[3]) * 0x9E3779B1)
        >> shift
        & mask
        for words in map(_WORDS.unpack, addresses)
    }
