"""Who claims an address on a link, by ARP or by neighbour discovery: the frames, and a socket that hears them."""

import ctypes
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from shoal.lab import arp, neighbour_discovery
from shoal.model import Address
from shoal.system.neighbour_discovery import ETHERTYPE as ETHERTYPE_IPV6

_RECEIVE = 2048
_SO_ATTACH_FILTER = 26
_ETHERTYPES = {4: arp.ETHERTYPE, 6: ETHERTYPE_IPV6}

# Of all the IPv6 that passes, the neighbour advertisements: (code, jump if true, jump if false, constant) as in
# include/uapi/linux/filter.h; 20 is the next header's offset in a frame, 54 that of the ICMPv6 type.
_ADVERTISEMENTS = (
    (0x30, 0, 0, 20),
    (0x15, 0, 3, 58),
    (0x30, 0, 0, 54),
    (0x15, 0, 1, 136),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A MAC address (with colons) says that it has an address. ``asker``: whom it answers; None: it tells everybody."""

    mac: str
    address: Address
    asker: Address | None


def question(*, mac: bytes, sender: Address, target: Address) -> bytes:
    """The frame that asks everybody: who has ``target``? Both addresses are of one family."""
    if isinstance(sender, IPv4Address) and isinstance(target, IPv4Address):
        return arp.request(mac=mac, sender=sender, target=target)
    if isinstance(sender, IPv6Address) and isinstance(target, IPv6Address):
        return neighbour_discovery.solicitation(mac=mac, sender=sender, target=target)
    raise ValueError(f"{sender} cannot ask for {target}: another family")


def claim(frame: bytes) -> Claim | None:
    """What a whole Ethernet frame claims; None when that is nothing."""
    return _claim_by_arp(frame) or _claim_by_advertisement(frame)


def _claim_by_arp(frame: bytes) -> Claim | None:
    found = arp.decode(frame)
    if found is None or not (found.gratuitous or found.operation == arp.REPLY):
        return None
    return Claim(mac=found.sender_mac, address=found.sender, asker=None if found.gratuitous else found.target)


def _claim_by_advertisement(frame: bytes) -> Claim | None:
    found = neighbour_discovery.decode(frame)
    if found is None:
        return None
    return Claim(mac=found.mac, address=found.target, asker=found.destination if found.solicited else None)


class Listener:
    """A packet socket on an interface that hears the claims of one family, and sends questions."""

    def __init__(self, interface: str, *, version: int) -> None:
        ethertype = _ETHERTYPES[version]
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        if version == 6:
            _attach(self.sock, _ADVERTISEMENTS)
        self.sock.bind((interface, ethertype))
        self.sock.setblocking(False)
        self.mac: bytes = self.sock.getsockname()[4]

    def claims(self) -> list[Claim]:
        """Every claim that is there now."""
        found: list[Claim] = []
        while True:
            try:
                heard = claim(self.sock.recv(_RECEIVE))
            except BlockingIOError:
                return found
            if heard is not None:
                found.append(heard)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


def _attach(sock: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    """Let a socket hear only what a classic BPF program returns non-zero for."""
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    filter_program = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)
