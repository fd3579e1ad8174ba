"""Which of its own addresses this host uses: towards others (a route query each, many in one go), and on a link.

Sources: include/uapi/linux/rtnetlink.h and if_addr.h, inet_rtm_getroute() in net/ipv4/route.c.
"""

import socket
import struct
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from shoal.model import Address

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_ROUTE = struct.Struct(
    "=BBBBBBBBI"
)  # struct rtmsg: family, lengths, TOS, table, protocol, scope, type, flags
_IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_REQUEST, _DUMP = 0x1, 0x300
_RTM_NEWADDR, _RTM_GETADDR, _RTM_NEWROUTE, _RTM_GETROUTE = 20, 22, 24, 26
_RTA_DST, _RTA_PREFSRC = 1, 7
_IFA_ADDRESS, _IFA_LOCAL, _IFA_PROTO = 1, 2, 11
_SCOPE_UNIVERSE = 0
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_BATCH = 128  # questions per send: the answers together must fit into the usual receive buffer
_DATAGRAM_BYTES = 1 << 18
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class OwnAddresses:
    """Asks the kernel's tables of the network namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, 0))
        self._sequence = 0

    def towards(self, destinations: Sequence[Address]) -> dict[Address, Address]:
        """The source address that this host's packets to each would have; those without a route are left out."""
        found: dict[Address, Address] = {}
        for begin in range(0, len(destinations), _BATCH):
            found |= self._towards(destinations[begin : begin + _BATCH])
        return found

    def on_links(self, *, but: int) -> dict[int, dict[int, Address]]:
        """The first address of each family (4, 6) by interface, without those with the maker's tag ``but``.

        Only addresses that are good everywhere count, so no link-local ones.
        """
        found: dict[int, dict[int, Address]] = {}
        for version, family in _FAMILIES.items():
            for index, scope, attributes in self._addresses(family):
                content = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
                if scope == _SCOPE_UNIVERSE and attributes.get(_IFA_PROTO, b"\0")[0] != but:
                    found.setdefault(index, {}).setdefault(version, _address(content))
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _towards(self, destinations: Sequence[Address]) -> dict[Address, Address]:
        asked: dict[int, Address] = {}
        requests = bytearray()
        for destination in destinations:
            self._sequence += 1
            asked[self._sequence] = destination
            requests += _message(_RTM_GETROUTE, _REQUEST, self._sequence, _question(destination))
        self._socket.send(requests)
        found: dict[Address, Address] = {}
        while asked:
            for kind, sequence, body in self._receive():
                if sequence not in asked:
                    continue
                destination = asked.pop(sequence)
                attributes = _attributes(body[_ROUTE.size :]) if kind == _RTM_NEWROUTE else {}
                if _RTA_PREFSRC in attributes:
                    found[destination] = _address(attributes[_RTA_PREFSRC])
        return found

    def _addresses(self, family: int) -> list[tuple[int, int, Mapping[int, bytes]]]:
        """Interface, scope and attributes of every address of a family."""
        self._sequence += 1
        body = _IFADDR.pack(family, 0, 0, 0, 0)
        self._socket.send(_message(_RTM_GETADDR, _REQUEST | _DUMP, self._sequence, body))
        found: list[tuple[int, int, Mapping[int, bytes]]] = []
        while True:
            for kind, sequence, reply in self._receive():
                if sequence != self._sequence:
                    continue
                if kind != _RTM_NEWADDR:
                    return found  # the end, or an error: as good as none
                version, _, _, scope, index = _IFADDR.unpack_from(reply)
                if version == family:
                    found.append((index, scope, _attributes(reply[_IFADDR.size :])))

    def _receive(self) -> list[tuple[int, int, bytes]]:
        """Type, sequence and body of each message of the next datagram."""
        datagram = self._socket.recv(_DATAGRAM_BYTES)
        messages, offset = [], 0
        while offset + _HEADER.size <= len(datagram):
            length, kind, _, sequence, _ = _HEADER.unpack_from(datagram, offset)
            messages.append((kind, sequence, datagram[offset + _HEADER.size : offset + length]))
            offset += max(_HEADER.size, (length + 3) & ~3)
        return messages


def _question(destination: Address) -> bytes:
    content = destination.packed
    header = _ROUTE.pack(_FAMILIES[destination.version], 8 * len(content), 0, 0, 0, 0, 0, 0, 0)
    return header + _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), _RTA_DST) + content


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _attributes(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _address(content: bytes) -> Address:
    return IPv4Address(content) if len(content) == 4 else IPv6Address(content)
