"""Monitors: how a real server's health is found out."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """Health of a real server as its monitor sees it; the admin state is another thing."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProbe:
    """Passes when a TCP connection is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """Passes when an HTTP(S) GET is answered with an expected status.

    ``statuses`` are inclusive ranges. ``host`` is the Host header and the TLS server name; empty: the address.
    ``verify`` checks the certificate chain and name.
    """

    path: str = "/"
    host: str = ""
    tls: bool = False
    verify: bool = False
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendExpectProbe:
    """Passes when the answer to ``send`` matches ``expect``.

    ``expect`` must be the beginning of the answer; ``*`` as the whole of it accepts any byte. ``regex``, when
    set instead, is searched anywhere in the answer's first 4,096 bytes. With neither, connecting is enough.
    """

    send: bytes = b""
    expect: bytes = b""
    regex: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramProbe:
    """Passes when a program exits with 0. ``%h`` and ``%p`` in an argument are the address and the port."""

    command: tuple[str, ...]


Probe = TcpProbe | HttpProbe | SendExpectProbe | ProgramProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A probe and its rhythm. ``interval`` and ``timeout`` are seconds.

    ``rise`` passes in a row bring a server up (the first ever needs only one), ``fall`` failures in a row take it
    down. ``port`` 0 probes the real server's own port.
    """

    probe: Probe
    interval: float = 1.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 2
    port: int = 0
