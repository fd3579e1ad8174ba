"""What this host is: its name, its interfaces, its addresses, and what this process may do."""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from shoal.model import Address

CAP_NET_ADMIN = 12  # include/uapi/linux/capability.h
CAP_NET_RAW = 13
CAP_SYS_ADMIN = 21
CAP_BPF = 39

_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """This host as seen from this process's network namespace. ``capabilities`` are the effective ones."""

    name: str
    interfaces: tuple[str, ...]
    addresses: frozenset[Address]
    capabilities: frozenset[int]


def this_host() -> Host:
    """The host as it is now."""
    return Host(
        name=socket.gethostname(),
        interfaces=tuple(name for _, name in socket.if_nameindex()),
        addresses=local_addresses(Path("/proc/net/fib_trie").read_text()) | _local_addresses_ipv6(),
        capabilities=effective_capabilities(Path("/proc/self/status").read_text()),
    )


def local_addresses(fib_trie: str) -> frozenset[Address]:
    """The IPv4 addresses that the kernel's routing table has as its own (``/proc/net/fib_trie``)."""
    return frozenset(IPv4Address(text) for text in _LOCAL.findall(fib_trie))


def local_addresses_ipv6(if_inet6: str) -> frozenset[Address]:
    """The IPv6 addresses of all interfaces (``/proc/net/if_inet6``: the address is the first word of a line)."""
    return frozenset(IPv6Address(bytes.fromhex(line.split()[0])) for line in if_inet6.splitlines())


def _local_addresses_ipv6() -> frozenset[Address]:
    try:
        return local_addresses_ipv6(Path("/proc/net/if_inet6").read_text())
    except FileNotFoundError:  # a kernel without IPv6
        return frozenset()


def effective_capabilities(status: str) -> frozenset[int]:
    """Numbers of the effective capabilities (``/proc/PID/status``)."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    bits = int(found[1], 16) if found else 0
    return frozenset(number for number in range(64) if bits >> number & 1)
