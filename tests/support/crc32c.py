"""CRC32c, the checksum of SCTP (RFC 9260 appendix A)."""

POLYNOMIAL = 0x82F63B78  # of Castagnoli, with its bits turned round


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(_entry(value) for value in range(256))


def crc32c(content: bytes | bytearray) -> int:
    """Of these bytes. ``123456789`` gives 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
