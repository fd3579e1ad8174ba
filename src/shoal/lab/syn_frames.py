"""Prebuilt frames of a SYN flood, each turn of them from other addresses and ports. Pure but for what is random.

A turn must cost next to nothing: two bytes of each source (the address's last and the port's last) are moved on in
one stroke for all frames, and bytes of the same weight in fields that do not matter (the identification, the sequence
number) are moved back by as much, so that no checksum ever changes (RFC 1071: a sum of 16-bit words).
"""

import random
import struct
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from shoal.model import Address, Network

SOURCES: dict[int, Network] = {
    4: IPv4Network("198.18.0.0/15"),  # RFC 2544: for measurements, nobody's
    6: IPv6Network("2001:2::/48"),  # RFC 5180
}
TURNS = 1 << 16  # until the sources repeat
_ETHERNET = 14
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_TCP = struct.Struct("!HHIIBBHHH")
_SYN = 0x02
_WINDOW = 64240
_HOP_LIMIT = 64
_TCP_PROTOCOL = 6
_MOVED_BACK = 0x00FF00FF  # of the sequence number


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the flood goes: the interface's MAC address, the router's, and a listener."""

    source_mac: bytes
    destination_mac: bytes
    address: Address
    port: int


def checksum(block: bytes) -> int:
    """The Internet checksum (RFC 1071) of a block of even length."""
    total: int = sum(struct.unpack(f"!{len(block) // 2}H", block))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _tcp(target: Target, *, source: bytes, port: int, sequence: int) -> bytes:
    fields = (port, target.port, sequence, 0, _TCP.size << 2, _SYN, _WINDOW)
    segment = _TCP.pack(*fields, 0, 0)
    pseudo = source + target.address.packed + struct.pack("!II", len(segment), _TCP_PROTOCOL)
    return _TCP.pack(*fields, checksum(pseudo + segment), 0)


def _ipv4(target: Target, *, source: bytes, length: int, identification: int) -> bytes:
    fields = (0x45, 0, _IPV4.size + length, identification, 0x4000, _HOP_LIMIT, _TCP_PROTOCOL)
    addresses = source, target.address.packed
    return _IPV4.pack(*fields, checksum(_IPV4.pack(*fields, 0, *addresses)), *addresses)


def _frame(target: Target, chance: random.Random) -> bytes:
    network = SOURCES[target.address.version]
    host = chance.getrandbits(network.max_prefixlen - network.prefixlen) & ~0xFF
    source = network[host].packed
    port = chance.randrange(4, 256) << 8
    segment = _tcp(target, source=source, port=port, sequence=chance.getrandbits(32) | _MOVED_BACK)
    if target.address.version == 4:
        identification = chance.getrandbits(16) | 0xFF
        head = _ipv4(target, source=source, length=len(segment), identification=identification)
        kind = b"\x08\x00"
    else:
        head = _IPV6.pack(6 << 28, len(segment), _TCP_PROTOCOL, _HOP_LIMIT, source, target.address.packed)
        kind = b"\x86\xdd"
    return target.destination_mac + target.source_mac + kind + head + segment


class SynFrames:
    """``count`` frames in one block of memory, ``size`` bytes each."""

    def __init__(self, target: Target, *, count: int, chance: random.Random) -> None:
        frames = [_frame(target, chance) for _ in range(count)]
        self.count = count
        self.size = len(frames[0])
        self.block = bytearray(b"".join(frames))
        self._turns = 0
        is_ipv4 = target.address.version == 4
        tcp = _ETHERNET + (_IPV4.size if is_ipv4 else _IPV6.size)
        last_of_address = _ETHERNET + (15 if is_ipv4 else 23)
        self._address_forward = (last_of_address,)
        self._address_back = (_ETHERNET + 5, tcp + 7) if is_ipv4 else (tcp + 7,)
        self._port_forward, self._port_back = (tcp + 1,), (tcp + 5,)

    def turn(self) -> None:
        """Give every frame another source."""
        self._turns = (self._turns + 1) % TURNS
        self._move(self._address_forward, self._address_back, self._turns & 0xFF)
        if self._turns & 0xFF == 0:
            self._move(self._port_forward, self._port_back, self._turns >> 8)

    def _move(self, forward: tuple[int, ...], back: tuple[int, ...], value: int) -> None:
        for offset in forward:
            self.block[offset :: self.size] = bytes([value]) * self.count
        for offset in back:
            self.block[offset :: self.size] = bytes([0xFF - value]) * self.count
