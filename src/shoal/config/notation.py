"""How single values are written: addresses, listeners, names. Each raises ``ConfigError`` with a fix."""

import re
import warnings
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

from shoal.errors import ConfigError
from shoal.model import LAST_PORT, RATE_PERIODS, Address, Interface, Listener, Network, Protocol, Rate

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,54}")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_PORT = re.compile(r"[0-9]{1,5}")
_STATUSES = re.compile(r"([0-9]{3})(?:\s*-\s*([0-9]{3}))?")
_LONGEST_SHOWN = 60
MARK = "fwmark:"
HIGHEST_RATE = 1_000_000


def shown(value: object) -> str:
    """A value as an error message quotes it: in quotes, without control characters, not too long."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "a huge number"
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _check_unicast(address: Address, *, text: str) -> None:
    if address.is_unspecified or address.is_multicast or (address.version == 4 and address.is_reserved):
        raise ConfigError(
            problem=f"{shown(text)} is not the address of one host",
            fix="Use a unicast address, such as 192.0.2.10 or 2001:db8::10.",
        )


def _check_ipv6(address: IPv6Address, *, text: str) -> None:
    """Refuse what means something only on one link, or is IPv4 in another notation (RFC 4291 2.5.5.2, 2.5.6)."""
    if address.ipv4_mapped is not None:
        problem, fix = "is an IPv4 address mapped into IPv6", f"Write {address.ipv4_mapped}."
    elif address.is_link_local:
        problem = "is a link-local address, which means another host on every link"
        fix = "Use a global or a unique local address (RFC 4193), such as 2001:db8::10."
    elif address.scope_id is not None:
        problem, fix = "has a zone, which only link-local addresses have", "Leave out % and what follows it."
    else:
        return
    raise ConfigError(problem=f"{shown(text)} {problem}", fix=fix)


@lru_cache(maxsize=1 << 17)
def address(text: str) -> Address:
    """The IPv4 or IPv6 address of one host.

    Remembered, since every rule asks for those of all real servers; whoever has read a file clears it.
    """
    try:
        found = ip_address(text)
    except ValueError as error:
        raise ConfigError(
            problem=f"{shown(text)} is not an IP address",
            fix="Write an address such as 192.0.2.10 or 2001:db8::10; names are not looked up.",
        ) from error
    _check_unicast(found, text=text)
    if isinstance(found, IPv6Address):
        _check_ipv6(found, text=text)
    return found


def routable_address(text: str) -> Address:
    """An address that other machines can reach: not a loopback one."""
    found = address(text)
    if found.is_loopback:
        raise ConfigError(
            problem=f"{shown(text)} is a loopback address, which no other machine can reach",
            fix="Use an address of the network on that interface.",
        )
    return found


def gateway(text: str) -> Interface:
    """An address with the length of its network's prefix, ``10.0.1.1/24``."""
    example = (
        "Write the address and the prefix length of its network, such as 10.0.1.1/24 or 2001:db8:1::1/64."
    )
    host, slash, _ = text.partition("/")
    routable_address(host)
    if not slash:
        raise ConfigError(problem=f"{shown(text)} has no prefix length", fix=example)
    try:
        found = ip_interface(text)
    except ValueError as error:
        raise ConfigError(problem=f"{shown(text)} is not an address with a prefix", fix=example) from error
    _check_host(found)
    return found


def _check_host(found: Interface) -> None:
    """Refuse the addresses of a network that belong to no single host (RFC 4291 2.6.1 for IPv6)."""
    network = found.network
    if network.max_prefixlen - network.prefixlen < 2:
        return
    special = [network.network_address]
    called = "subnet-router anycast"
    if found.version == 4:
        special.append(network.broadcast_address)
        called = "network or broadcast"
    if found.ip in special:
        raise ConfigError(
            problem=f"{found.ip} is the {called} address of {network}",
            fix="Use an address of a host in that network.",
        )


def _host(text: str, *, of: str) -> str:
    """The address before a port: an IPv6 one without the brackets that it must have (RFC 3986 3.2.2)."""
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1]
        if address(inner).version == 4:
            raise ConfigError(problem=f"{shown(of)} has an IPv4 address in brackets", fix=f"Write {inner}.")
        return inner
    if ":" in text:
        address(text)
        raise ConfigError(
            problem=f"{shown(of)} has an IPv6 address without brackets",
            fix=f"Put it in brackets, so that the port is told from it: [{text}].",
        )
    return text


def port(text: str) -> int:
    """A port number from 1 to 65535."""
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ConfigError(problem=f"{shown(text)} is not a port", fix="Use a number from 1 to 65535.")
    return int(text)


def ports(text: str) -> range:
    """A range of ports, ``FIRST-LAST``, both included."""
    first, dash, last = text.partition("-")
    try:
        found = range(port(first.strip()), port(last.strip()) + 1)
    except ConfigError:
        found = range(0)
    if not dash or not found:
        raise ConfigError(
            problem=f"{shown(text)} is not a range of ports", fix='Write FIRST-LAST, such as "1024-32767".'
        )
    return found


def endpoint(text: str) -> tuple[Address, int]:
    """``ADDRESS:PORT`` of a real server, or ``ADDRESS:*``, as port 0; an IPv6 address stands in brackets."""
    host, colon, number = text.rpartition(":")
    if not colon or _is_address(text):
        address(text.strip("[]"))
        raise ConfigError(
            problem=f"{shown(text)} has no port",
            fix="Write ADDRESS:PORT, such as 10.0.1.21:80 or [2001:db8::21]:80.",
        )
    return address(_host(host, of=text)), 0 if number == "*" else port(number)


def _is_address(text: str) -> bool:
    """Whether it is an address without a port, in brackets or not."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "]" in bare:  # ip_address() takes anything for a zone
        return False
    try:
        ip_address(bare)
    except ValueError:
        return False
    return True


def listener_ports(text: str) -> tuple[int, int]:
    """The ports of a listener: one as ``(80, 0)``, ``8000-8099`` as its ends, ``*`` as ``(0, 65535)``."""
    if text == "*":
        return 0, LAST_PORT
    first, dash, last = text.partition("-")
    if not dash:
        return port(first), 0
    low, high = port(first.strip()), port(last.strip())
    if low >= high:
        raise ConfigError(
            problem=f"{shown(text)} is not a range of ports",
            fix="Write the lower port first, such as 8000-8099.",
        )
    return low, high


def listener(text: str) -> Listener:
    """``ADDRESS:PORT/tcp``, or ``/udp`` or ``/sctp``; an IPv6 address stands in brackets.

    In the place of the port may stand a range, ``8000-8099``, or ``*`` for any port.
    """
    where, slash, protocol = text.partition("/")
    host, colon, number = where.rpartition(":")
    if not slash or not colon or _is_address(where):
        raise ConfigError(
            problem=f"{shown(text)} is not ADDRESS:PORT/PROTOCOL",
            fix="Write all three, such as 192.0.2.10:80/tcp or [2001:db8::10]:80/tcp.",
        )
    if protocol not in tuple(Protocol):
        raise ConfigError(problem=f"{shown(protocol)} is not a known protocol", fix="Use tcp, udp or sctp.")
    found = routable_address(_host(host, of=text))
    first, last = listener_ports(number)
    return Listener(address=found, port=first, protocol=Protocol(protocol), last_port=last)


def is_mark(text: str) -> bool:
    """Whether it is a firewall mark rather than an address."""
    return text.startswith(MARK)


def mark(text: str) -> int:
    """``fwmark:NUMBER``; the number may be hexadecimal, as nftables writes it."""
    number = text.removeprefix(MARK)
    if (
        re.fullmatch(r"[0-9]{1,10}|0x[0-9a-fA-F]{1,8}", number)
        and 1 <= int(number, 0 if "x" in number else 10) < 1 << 32
    ):
        return int(number, 0 if "x" in number else 10)
    raise ConfigError(
        problem=f"{shown(text)} is not a firewall mark",
        fix="Write fwmark: and a number from 1 to 4294967295, such as fwmark:7 or fwmark:0x10.",
    )


def network(text: str) -> Network:
    """``ADDRESS/LENGTH``, or an address alone."""
    try:
        found = ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(
            problem=f"{shown(text)} is not a network",
            fix="Write a network such as 198.51.100.0/24 or 2001:db8:1::/48.",
        ) from error
    if found.network_address != ip_interface(text).ip:
        raise ConfigError(
            problem=f"{shown(text)} is an address within a network, not the network", fix=f"Write {found}."
        )
    return found


def rate(text: str) -> Rate:
    """``100/s``, ``30/m`` or ``5/h``."""
    periods = {letter: seconds for seconds, letter in RATE_PERIODS.items()}
    count, _, letter = text.partition("/")
    if not re.fullmatch(r"[0-9]{1,7}", count) or not 1 <= int(count) <= HIGHEST_RATE or letter not in periods:
        raise ConfigError(
            problem=f"{shown(text)} is not a rate",
            fix=f"Write a number from 1 to {HIGHEST_RATE} and /s, /m or /h, such as 100/s.",
        )
    return Rate(count=int(count), period=periods[letter])


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
    if ":" in text and "[" not in text and _is_address(text):
        raise ConfigError(
            problem=f"{shown(text)} has an IPv6 address without brackets",
            fix=f"Put it in brackets: [{text}].",
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


def ipv4_prefix(value: int | str) -> int:
    """The length of a network's prefix: a number from 1 to 32, or a mask such as ``255.255.255.0``."""
    problem = f"{shown(value)} is not a prefix length or an IPv4 mask"
    try:
        length = ip_network(f"0.0.0.0/{value}").prefixlen if isinstance(value, str) else value
    except ValueError:
        length = 0
    if not 1 <= length <= 32 or (
        isinstance(value, str) and value == str(ip_network(f"0.0.0.0/{length}").hostmask)
    ):
        raise ConfigError(problem=problem, fix='Use 1 to 32, or a mask such as "255.255.255.0".')
    return length
