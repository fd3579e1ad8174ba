"""What the children tell ``lvsd`` and what it tells them.

Level-triggered: ``HealthReport`` and ``RoleReport`` always carry the whole state, and are sent on connecting and
on every change, so a restarted ``lvsd`` knows everything after one message of each.
"""

from typing import Literal

import msgspec


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """First message on a connection: who speaks."""

    child: Literal["pulse", "nanny", "supervisor"]
    pid: int


class TargetHealth(msgspec.Struct, frozen=True):
    """Health of one real server of one virtual server.

    ``real_server`` is its endpoint (``address:port``), ``since`` is Unix time, seconds.
    """

    virtual_server: str
    real_server: str
    health: Literal["unknown", "up", "down"]
    reason: str
    since: float


class HealthReport(msgspec.Struct, frozen=True, tag="health"):
    """Health of every target. ``config_digest`` (hex) names the configuration it was made from."""

    config_digest: str
    targets: tuple[TargetHealth, ...]


class PeerView(msgspec.Struct, frozen=True):
    """What this router last heard of a peer. ``paths_heard`` are the paths that are alive now."""

    name: str
    state: str
    priority: int
    epoch: int
    paths_heard: tuple[str, ...]
    config_serial: int
    config_digest: str


class RoleReport(msgspec.Struct, frozen=True, tag="role"):
    """This router's state in the cluster. ``links`` maps path name to up/down. Counters are since start."""

    router: str
    state: Literal["init", "backup", "active", "fault"]
    epoch: int
    since: float
    links: dict[str, bool]
    addresses: tuple[str, ...]
    peers: tuple[PeerView, ...]
    rejected: dict[str, int]


class Record(msgspec.Struct, frozen=True, tag="record"):
    """A line for the journal. ``cause`` says why it happened. ``at`` is Unix time, seconds."""

    at: float
    source: str
    event: str
    cause: str = ""
    fields: dict[str, str | int | float | bool] = {}


class FailoverRequest(msgspec.Struct, frozen=True, tag="failover"):
    """To ``pulse``: hand the addresses over to another router (any, when ``to`` is empty)."""

    id: int
    to: str = ""


class FailoverReply(msgspec.Struct, frozen=True, tag="failover_reply"):
    """From ``pulse``: whether the hand-over was begun, and if not, why."""

    id: int
    accepted: bool
    problem: str = ""
    fix: str = ""


Message = Hello | HealthReport | RoleReport | Record | FailoverRequest | FailoverReply
