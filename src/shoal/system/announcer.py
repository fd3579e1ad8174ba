"""Tells a network where addresses of either family are now: gratuitous ARP, unsolicited neighbour advertisements."""

import contextlib
import errno
import socket
from collections.abc import Iterable

from shoal.errors import KernelError
from shoal.model import Address
from shoal.system import arp, neighbour_discovery

_GONE = {errno.ENETDOWN, errno.ENXIO, errno.ENODEV}


def announcement(address: Address, mac: bytes) -> tuple[int, bytes]:
    """EtherType and whole frame of the announcement of an address."""
    if address.version == 6:
        return neighbour_discovery.ETHERTYPE, neighbour_discovery.announcement(address, mac)
    return arp.ETHERTYPE, arp.announcement(address, mac)


class Announcer:
    """Sends announcements through one packet socket. It receives nothing."""

    def __init__(self) -> None:
        # Protocol 0: the kernel hands this socket no incoming frame.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setblocking(False)

    def announce(self, *, interface: str, mac: bytes, addresses: Iterable[Address]) -> int:
        """Announce addresses on an interface; how many frames went out.

        Frames that find the queue full or the link down are lost: the next burst repeats them. KernelError
        for anything else.
        """
        sent = 0
        for address in addresses:
            ethertype, frame = announcement(address, mac)
            try:
                self._socket.sendto(frame, (interface, ethertype))
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
