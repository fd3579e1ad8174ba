"""Gratuitous ARP: telling a network where an address is now (RFC 5227 section 3, RFC 826)."""

import contextlib
import errno
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address

from shoal.errors import KernelError

_BROADCAST = b"\xff" * 6
_ETH_P_ARP = 0x0806
_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST = 1
_GONE = {errno.ENETDOWN, errno.ENXIO, errno.ENODEV}


def announcement(address: IPv4Address, mac: bytes) -> bytes:
    """The frame of an ARP announcement: a broadcast request whose sender and target are both ``address``."""
    arp = _ARP.pack(1, 0x0800, 6, 4, _REQUEST, mac, address.packed, bytes(6), address.packed)
    return _ETHERNET.pack(_BROADCAST, mac, _ETH_P_ARP) + arp


class Announcer:
    """Sends announcements through one packet socket. It receives nothing."""

    def __init__(self) -> None:
        # Protocol 0: the kernel hands this socket no incoming frame.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setblocking(False)

    def announce(self, *, interface: str, mac: bytes, addresses: Iterable[IPv4Address]) -> int:
        """Announce addresses on an interface; how many frames went out.

        Frames that find the queue full or the link down are lost: the next burst repeats them. KernelError
        for anything else.
        """
        sent = 0
        for address in addresses:
            try:
                self._socket.sendto(announcement(address, mac), (interface, _ETH_P_ARP))
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                if error.errno in _GONE:
                    break
                raise KernelError(
                    errno=error.errno or errno.EIO,
                    problem=f"cannot announce {address}",
                    where=interface,
                    fix="run as root (CAP_NET_RAW)",
                ) from error
            sent += 1
        return sent

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self._socket.close()
