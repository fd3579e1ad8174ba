"""How single values are written: addresses, listeners, names. Each raises ``ConfigError`` with a fix."""

import re
import warnings
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    NetmaskValueError,
)

from shoal.errors import ConfigError
from shoal.model import Listener, Protocol

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,54}")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_PORT = re.compile(r"[0-9]{1,5}")
_STATUSES = re.compile(r"([0-9]{3})(?:\s*-\s*([0-9]{3}))?")
_LONGEST_SHOWN = 60


def shown(value: object) -> str:
    """A value as an error message quotes it: in quotes, without control characters, not too long."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "a huge number"
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _refuse_ipv6(text: str, notation: type[IPv6Address] | type[IPv6Interface], *, example: str) -> None:
    try:
        notation(text.strip("[]"))
    except ValueError:
        return
    raise ConfigError(
        problem=f"wrong address family: {shown(text)} is IPv6, and only IPv4 works yet",
        fix=f"Use an IPv4 address, such as {example}.",
    )


def _check_unicast(address: IPv4Address, *, text: str) -> None:
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        raise ConfigError(
            problem=f"{shown(text)} is not the address of one host",
            fix="Use a unicast address, such as 192.0.2.10.",
        )


def address(text: str) -> IPv4Address:
    """The IPv4 address of one host."""
    try:
        found = IPv4Address(text)
    except AddressValueError as error:
        _refuse_ipv6(text, IPv6Address, example="192.0.2.10")
        raise ConfigError(
            problem=f"{shown(text)} is not an IPv4 address",
            fix="Write four numbers from 0 to 255, such as 192.0.2.10; names are not looked up.",
        ) from error
    _check_unicast(found, text=text)
    return found


def routable_address(text: str) -> IPv4Address:
    """An address that other machines can reach: not a loopback one."""
    found = address(text)
    if found.is_loopback:
        raise ConfigError(
            problem=f"{shown(text)} is a loopback address, which no other machine can reach",
            fix="Use an address of the network on that interface.",
        )
    return found


def gateway(text: str) -> IPv4Interface:
    """An address with the length of its network's prefix, ``10.0.1.1/24``."""
    example = "Write the address and the prefix length of its network, such as 10.0.1.1/24."
    if "/" not in text:
        routable_address(text)
        raise ConfigError(problem=f"{shown(text)} has no prefix length", fix=example)
    try:
        found = IPv4Interface(text)
    except (AddressValueError, NetmaskValueError) as error:
        _refuse_ipv6(text, IPv6Interface, example="10.0.1.1/24")
        raise ConfigError(
            problem=f"{shown(text)} is not an IPv4 address with a prefix", fix=example
        ) from error
    routable_address(text.partition("/")[0])
    network = found.network
    if network.prefixlen < 31 and found.ip in (network.network_address, network.broadcast_address):
        raise ConfigError(
            problem=f"{found.ip} is the network or broadcast address of {network}",
            fix="Use an address of a host in that network.",
        )
    return found


def port(text: str) -> int:
    """A port number from 1 to 65535."""
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ConfigError(problem=f"{shown(text)} is not a port", fix="Use a number from 1 to 65535.")
    return int(text)


def endpoint(text: str) -> tuple[IPv4Address, int]:
    """``ADDRESS:PORT`` of a real server."""
    host, colon, number = text.rpartition(":")
    if not colon or host.endswith(":") or ("[" in host and not host.endswith("]")):
        address(text)
        raise ConfigError(
            problem=f"{shown(text)} has no port", fix="Write ADDRESS:PORT, such as 10.0.1.21:80."
        )
    return address(host), port(number)


def listener(text: str) -> Listener:
    """``ADDRESS:PORT/tcp`` or ``ADDRESS:PORT/udp``."""
    where, slash, protocol = text.partition("/")
    host, colon, number = where.rpartition(":")
    if not slash or not colon:
        raise ConfigError(
            problem=f"{shown(text)} is not ADDRESS:PORT/PROTOCOL",
            fix="Write all three, such as 192.0.2.10:80/tcp.",
        )
    if protocol not in tuple(Protocol):
        raise ConfigError(problem=f"{shown(protocol)} is not a known protocol", fix="Use tcp or udp.")
    return Listener(address=routable_address(host), port=port(number), protocol=Protocol(protocol))


def name(text: str) -> str:
    """A name of up to 55 letters, digits and ``. _ : -`` that begins with a letter or digit.

    55 is what the dataplane keeps of a service's name (``SHOAL_NAME_SIZE`` in ``bpf/abi.h``).
    """
    if not _NAME.fullmatch(text):
        raise ConfigError(
            problem=f"{shown(text)} is not a name",
            fix="Use up to 55 letters, digits and . _ : - and begin with a letter or a digit.",
        )
    return text


def interface(text: str) -> str:
    """The name of a network interface, as the kernel allows it (dev_valid_name in net/core/dev.c)."""
    if not _INTERFACE.fullmatch(text) or text in (".", "..") or not text.isprintable():
        raise ConfigError(
            problem=f"{shown(text)} cannot be the name of a network interface",
            fix="Use 1 to 15 characters without blanks, slashes and colons, such as eth0.",
        )
    return text


def http_path(text: str) -> str:
    """The path of an HTTP request: begins with a slash, has no blanks."""
    if not re.fullmatch(r"/[!-~]*", text):
        raise ConfigError(
            problem=f"{shown(text)} is not a path",
            fix="Begin it with a slash, and write blanks and other special characters as %20 and the like.",
        )
    return text


def http_host(text: str) -> str:
    """A Host header; empty is allowed."""
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]{0,253}", text):
        raise ConfigError(
            problem=f"{shown(text)} is not a host name", fix="Write a name such as www.example.com."
        )
    return text


def statuses(value: int | str) -> tuple[int, int]:
    """A range of HTTP statuses, both ends included: ``"200-299"``, or one status."""
    if isinstance(value, int):
        low = high = value
    else:
        match = _STATUSES.fullmatch(value)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 100 <= low <= high <= 599:
        raise ConfigError(
            problem=f"{shown(value)} is not a status or a range of them",
            fix='Use numbers from 100 to 599, such as 204 or "200-299".',
        )
    return low, high


def regex(text: str) -> re.Pattern[bytes]:
    """A pattern over the bytes of an answer (Python's ``re``)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text.encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            problem=f"the pattern {shown(text)} does not compile: {error}",
            fix="Correct the regular expression; in TOML, 'single quotes' keep backslashes as they are.",
        ) from error


def argument(text: str) -> str:
    """An argument of a program: any text without NUL."""
    if "\0" in text:
        raise ConfigError(problem="an argument has a NUL character", fix="Remove it.")
    return text
