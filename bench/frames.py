"""Frames that the measurements send: Ethernet, IPv4 and TCP or UDP, with right checksums."""

import struct
from ipaddress import IPv4Address

SYN, ACK = 0x02, 0x10
TCP, UDP = 6, 17


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data if len(data) % 2 == 0 else data + b"\0"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _l4(
    protocol: int, source: IPv4Address, destination: IPv4Address, ports: tuple[int, int], flags: int
) -> bytes:
    if protocol == TCP:
        header = struct.pack(">HHIIBBHHH", *ports, 1, 1, 5 << 4, flags, 64000, 0, 0)
        at = 16
    else:
        header = struct.pack(">HHHH", *ports, 26, 0) + bytes(18)
        at = 6
    pseudo = source.packed + destination.packed + struct.pack(">BBH", 0, protocol, len(header))
    check = checksum(pseudo + header)
    return header[:at] + struct.pack(">H", check) + header[at + 2 :]


def frame(
    *,
    macs: tuple[bytes, bytes],
    source: tuple[IPv4Address, int],
    destination: tuple[IPv4Address, int],
    protocol: int = TCP,
    flags: int = ACK,
) -> bytes:
    """A 60-byte frame; ``macs`` are destination and source. Port 0 as source leaves room for the generator's own."""
    l4 = _l4(protocol, source[0], destination[0], (source[1], destination[1]), flags)
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(l4), 0, 0, 64, protocol, 0, source[0].packed, destination[0].packed
    )
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    whole = macs[0] + macs[1] + b"\x08\x00" + ip + l4
    return whole + bytes(max(0, 60 - len(whole)))
