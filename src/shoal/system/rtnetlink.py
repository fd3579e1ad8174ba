"""Links and addresses by rtnetlink: a small pipelined codec, as 1,000 addresses must move in 20 ms.

Sources: include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from shoal.errors import KernelError
from shoal.model import Interface

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BB5xBI")  # struct rtmsg: family, destination's length, ..., type, flags
_ERROR = struct.Struct("=i")

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_RTA_DST, _RTN_LOCAL = 1, 2
_REQUEST, _ACK, _DUMP, _CREATE, _EXCLUSIVE = 0x1, 0x4, 0x300, 0x400, 0x200
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND, _IFLA_LINK_NETNSID = 1, 3, 18, 1, 37
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_PROTO = 1, 2, 6, 11
_IFA_F_NODAD = 0x02
_CACHEINFO = struct.Struct("=IIII")  # struct ifa_cacheinfo: preferred, valid, created, updated
_DEPRECATED_FOR_EVER = _CACHEINFO.pack(0, 0xFFFF_FFFF, 0, 0)
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_SO_RCVBUFFORCE = 33
_RECEIVE_BYTES = 4 << 20
_DATAGRAM_BYTES = 1 << 18
_LOCAL_ROUTE_LIMIT = 0.02  # seconds, of a heartbeat interval of 0.1
_LOCAL_ROUTE_POLL = 0.0002
_BATCH = 250  # requests per send: their errors together must fit into the receive buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface. ``up``: administratively up, and it has carrier. ``peer_netns`` is a veth's."""

    index: int
    name: str
    up: bool
    mac: bytes
    kind: str
    peer_netns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address on an interface; ``protocol`` is its maker's tag (IFA_PROTO), 0 without one."""

    index: int
    address: Interface
    protocol: int


class Netlink:
    """One request socket. Calls block for microseconds: the kernel answers within the send."""

    def __init__(self) -> None:
        self._socket = _open(groups=0)
        self._sequence = 0

    def links(self) -> tuple[Link, ...]:
        """Every interface of this network namespace."""
        body = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        replies = self._dump(_RTM_GETLINK, body)
        return tuple(_parse_link(reply) for kind, reply in replies if kind == _RTM_NEWLINK)

    def addresses(self) -> tuple[Address, ...]:
        """Every address of this network namespace, IPv4 first."""
        return tuple(
            _parse_address(reply)
            for family in (socket.AF_INET, socket.AF_INET6)
            for kind, reply in self._dump(_RTM_GETADDR, _IFADDR.pack(family, 0, 0, 0, 0))
            if kind == _RTM_NEWADDR and reply[0] == family
        )

    def add_addresses(self, addresses: Sequence[Address]) -> tuple[KernelError, ...]:
        """Add addresses; what the kernel refused, each error naming its address. One that exists is fine.

        An IPv6 address is there at once, without duplicate address detection: its last owner may still answer. And it
        is deprecated (RFC 4862 section 5.5.4), so that this host never chooses it as the source of its own packets.

        The kernel makes the local route of an IPv6 address in a work queue (``addrconf_dad_start`` in
        net/ipv6/addrconf.c); until then it already asks neighbours in the name of the address, and forwards their
        answers. So this waits for the route, 20 ms at most.
        """
        flags = _REQUEST | _CREATE | _EXCLUSIVE
        errors = self._change(_RTM_NEWADDR, flags, addresses, fine=errno.EEXIST)
        give_up = time.monotonic() + _LOCAL_ROUTE_LIMIT
        for added in addresses:
            while not self._is_local(added) and time.monotonic() < give_up:
                time.sleep(_LOCAL_ROUTE_POLL)  # a real-time process must let the work queue run
        return errors

    def delete_addresses(self, addresses: Sequence[Address]) -> tuple[KernelError, ...]:
        """Delete addresses; what the kernel refused. One that is not there is fine."""
        return self._change(_RTM_DELADDR, _REQUEST, addresses, fine=errno.EADDRNOTAVAIL)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _is_local(self, address: Address) -> bool:
        """Whether the kernel takes packets for an IPv6 address as its own; that of an IPv4 address it always does."""
        if address.address.version == 4:
            return True
        self._sequence += 1
        packed = address.address.ip.packed
        body = _ROUTE.pack(socket.AF_INET6, 8 * len(packed), 0, 0) + _attribute(_RTA_DST, packed)
        self._socket.send(_message(_RTM_GETROUTE, _REQUEST, self._sequence, body))
        while True:
            for kind, sequence, reply in _messages(self._socket.recv(_DATAGRAM_BYTES)):
                if sequence == self._sequence:
                    return kind == _RTM_NEWROUTE and _ROUTE.unpack_from(reply)[2] == _RTN_LOCAL

    def _dump(self, kind: int, body: bytes) -> list[tuple[int, bytes]]:
        self._sequence += 1
        self._socket.send(_message(kind, _REQUEST | _DUMP, self._sequence, body))
        replies: list[tuple[int, bytes]] = []
        while True:
            for reply_kind, sequence, reply in _messages(self._socket.recv(_DATAGRAM_BYTES)):
                if sequence != self._sequence:
                    continue
                if reply_kind == _NLMSG_ERROR:
                    number = -_ERROR.unpack_from(reply)[0]
                    raise KernelError(
                        errno=number, problem="cannot list links or addresses", where="rtnetlink"
                    )
                if reply_kind == _NLMSG_DONE:
                    return replies
                replies.append((reply_kind, reply))

    def _change(
        self, kind: int, flags: int, addresses: Sequence[Address], *, fine: int
    ) -> tuple[KernelError, ...]:
        errors: list[KernelError] = []
        for start in range(0, len(addresses), _BATCH):
            errors += self._change_batch(kind, flags, addresses[start : start + _BATCH], fine=fine)
        return tuple(errors)

    def _change_batch(
        self, kind: int, flags: int, batch: Sequence[Address], *, fine: int
    ) -> Iterator[KernelError]:
        """One send. Only the last request asks for an acknowledgement; an error is always reported."""
        first = self._sequence + 1
        self._sequence += len(batch)
        requests = bytearray()
        for sequence, address in enumerate(batch, first):
            last = _ACK if sequence == self._sequence else 0
            requests += _message(kind, flags | last, sequence, _address_body(address))
        self._socket.send(requests)
        verb = "add" if kind == _RTM_NEWADDR else "delete"
        while True:
            for reply_kind, sequence, reply in _messages(self._socket.recv(_DATAGRAM_BYTES)):
                if reply_kind != _NLMSG_ERROR or not first <= sequence <= self._sequence:
                    continue
                number = -_ERROR.unpack_from(reply)[0]
                if number not in (0, fine):
                    yield _refusal(verb, batch[sequence - first], number)
                if sequence == self._sequence:
                    return


class Subscription:
    """Tells when links change and when addresses vanish. Never blocks."""

    def __init__(self) -> None:
        self._socket = _open(groups=_RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    def receive(self) -> tuple[bool, bool]:
        """Whether links changed, and whether addresses were removed. Lost messages count as both."""
        links = removed = False
        while True:
            try:
                datagram = self._socket.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return links, removed
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise KernelError(
                        errno=error.errno or errno.EIO, problem="cannot watch links", where="rtnetlink"
                    ) from error
                links = removed = True
                continue
            kinds = {kind for kind, _, _ in _messages(datagram)}
            links = links or bool(kinds & {_RTM_NEWLINK, _RTM_DELLINK})
            removed = removed or _RTM_DELADDR in kinds

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _open(*, groups: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    sock.bind((0, groups))
    return sock


def _refusal(verb: str, address: Address, number: int) -> KernelError:
    fixes = {
        errno.EPERM: "run as root (CAP_NET_ADMIN)",
        errno.ENODEV: "the interface is gone; bring it back",
        errno.EACCES: "IPv6 is off on the interface; set its sysctl disable_ipv6 to 0",
    }
    return KernelError(
        errno=number,
        problem=f"cannot {verb} {address.address}",
        where=f"interface {address.index}",
        fix=fixes.get(number, f"see what `ip address` shows, and {os.strerror(number)!r} in `dmesg`"),
    )


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(padding)


def _address_body(address: Address) -> bytes:
    packed, prefix_length = address.address.ip.packed, address.address.network.prefixlen
    body = _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
    body += _attribute(_IFA_PROTO, bytes([address.protocol]))
    if address.address.version == 4:
        return _IFADDR.pack(socket.AF_INET, prefix_length, 0, 0, address.index) + body
    body += _attribute(_IFA_CACHEINFO, _DEPRECATED_FOR_EVER)
    return _IFADDR.pack(socket.AF_INET6, prefix_length, _IFA_F_NODAD, 0, address.index) + body


def _messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence and body of each message of a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, _, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if length < _HEADER.size:
            return
        yield kind, sequence, datagram[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(body: bytes, offset: int = 0) -> Iterable[tuple[int, bytes]]:
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    attributes = dict(_attributes(body, _IFINFO.size))
    kind = dict(_attributes(attributes.get(_IFLA_LINKINFO, b""))).get(_IFLA_INFO_KIND, b"")
    netns = attributes.get(_IFLA_LINK_NETNSID)
    return Link(
        index=index,
        name=_text(attributes.get(_IFLA_IFNAME, b"")),
        up=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        mac=attributes.get(_IFLA_ADDRESS, b""),
        kind=_text(kind),
        peer_netns=None if netns is None else _ERROR.unpack(netns)[0],
    )


def _parse_address(body: bytes) -> Address:
    family, prefix_length, _, _, index = _IFADDR.unpack_from(body)
    attributes = dict(_attributes(body, _IFADDR.size))
    local = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
    interface = IPv4Interface if family == socket.AF_INET else IPv6Interface
    return Address(
        index=index,
        address=interface((local, prefix_length)),
        protocol=attributes.get(_IFA_PROTO, b"\0")[0],
    )


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
