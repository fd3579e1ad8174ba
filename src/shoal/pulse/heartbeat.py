"""The heartbeat on the wire. Layout and rules: ``docs/protocol/heartbeat.md``."""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from enum import StrEnum

from shoal.errors import PeerError
from shoal.model import RouterState
from shoal.pulse.nouns import Flag, Heartbeat, Report

MAGIC = b"SHBT"
VERSION = 1
NAME_BYTES = 64
MAX_LINKS = 32

# magic, version, state, flags | cluster, session, echo, sequence, epoch, stamp | config serial, digest |
# sync lag, link bits, path, priority, links up, links, loss, 3 reserved | sender
_BODY = struct.Struct(f">4sBBH 8sQQQQQ Q16s II4sHBBB3x {NAME_BYTES}s")
_MAC_BYTES = 32
LENGTH = _BODY.size + _MAC_BYTES
_VERSION_AT = 4
_CLUSTER_AT = 8
_STATES = (RouterState.INIT, RouterState.BACKUP, RouterState.ACTIVE, RouterState.FAULT)
_KNOWN_FLAGS = Flag.RESIGN | Flag.STOPPING | Flag.CLAIM | Flag.HOLDING | Flag.FOLLOWING | Flag.READY


class Rejection(StrEnum):
    """Why a datagram was not believed. Every rejected datagram has one of these names and a counter."""

    TRUNCATED = "truncated"
    BAD_MAGIC = "bad_magic"
    VERSION = "version"
    WRONG_CLUSTER = "wrong_cluster"
    BAD_MAC = "bad_mac"
    MALFORMED = "malformed"
    UNKNOWN_SENDER = "unknown_sender"
    WRONG_PATH = "wrong_path"
    REPLAYED = "replayed"


class HeartbeatError(PeerError):
    """A datagram that changed nothing. ``reason`` is what is counted."""

    def __init__(self, reason: Rejection, problem: str) -> None:
        super().__init__(problem=problem, where="heartbeat", fix=_FIXES[reason])
        self.reason = reason


_FOREIGN = "find out who sends to the heartbeat port; heartbeat_port must be free on the paths"
_FIXES = {
    Rejection.TRUNCATED: _FOREIGN,
    Rejection.BAD_MAGIC: _FOREIGN,
    Rejection.VERSION: "run the same version of Shoal on every router",
    Rejection.WRONG_CLUSTER: "give clusters that share a network different heartbeat_port numbers",
    Rejection.BAD_MAC: "give every router the same key",
    Rejection.MALFORMED: "run the same version of Shoal on every router",
    Rejection.UNKNOWN_SENDER: "give every router the same [[routers]] and [paths]",
    Rejection.WRONG_PATH: "give every router the same [paths], and keep the networks apart",
    Rejection.REPLAYED: "find out who copies datagrams on this network",
}


def _identity(text: str, length: int) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:length]


class Codec:
    """Turns heartbeats of one cluster into datagrams and back. The MAC covers every other byte."""

    def __init__(self, *, cluster: str, key: bytes, paths: tuple[str, ...]) -> None:
        self._cluster = _identity(cluster, 8)
        self._key = hmac.digest(key, b"shoal heartbeat 1", "sha256")
        self._path_ids = {path: _identity(path, 4) for path in paths}
        self._paths = {identity: path for path, identity in self._path_ids.items()}

    def encode(self, heartbeat: Heartbeat) -> bytes:
        """The datagram of ``LENGTH`` bytes. Names longer than ``NAME_BYTES`` are refused as ValueError."""
        report, sender = heartbeat.report, heartbeat.sender.encode()
        if len(sender) > NAME_BYTES or len(report.links) > MAX_LINKS:
            raise ValueError(f"name {heartbeat.sender!r} or {len(report.links)} links do not fit")
        link_bits = sum(1 << index for index, up in enumerate(report.links) if up)
        body = _BODY.pack(
            *(MAGIC, VERSION, _STATES.index(report.state), int(report.flags), self._cluster),
            *(heartbeat.session, heartbeat.echo, heartbeat.sequence, report.epoch, heartbeat.stamp_ns),
            *(report.config_serial & 0xFFFF_FFFF_FFFF_FFFF, report.config_digest, report.sync_lag_ms),
            *(link_bits, self._path_ids[heartbeat.path], report.priority),
            *(sum(report.links), len(report.links), heartbeat.loss, sender),
        )
        return body + hmac.digest(self._key, body, "sha256")

    def decode(self, datagram: bytes) -> Heartbeat:
        """The heartbeat of an authentic datagram. Raises ``HeartbeatError`` for everything else."""
        self._check_envelope(datagram)
        body, mac = datagram[: _BODY.size], datagram[_BODY.size :]
        if not hmac.compare_digest(hmac.digest(self._key, body, "sha256"), mac):
            raise HeartbeatError(Rejection.BAD_MAC, "authentication failed")
        _, _, state, flags, _, session, echo, sequence, epoch, stamp_ns, serial, digest, *rest = _BODY.unpack(
            body
        )
        sync_lag_ms, link_bits, path_id, priority, links_up, links, loss, sender = rest
        path = self._paths.get(path_id)
        if path is None:
            raise HeartbeatError(Rejection.WRONG_PATH, "sent for a path that is not configured here")
        bits = tuple(bool(link_bits >> index & 1) for index in range(links))
        if state >= len(_STATES) or links > MAX_LINKS or sum(bits) != links_up or not (session and sequence):
            raise HeartbeatError(Rejection.MALFORMED, "authentic, but its fields contradict each other")
        report = Report(
            state=_STATES[state],
            flags=Flag(flags & _KNOWN_FLAGS),
            priority=priority,
            epoch=epoch,
            links=bits,
            config_serial=serial,
            config_digest=digest,
            sync_lag_ms=sync_lag_ms,
        )
        return Heartbeat(
            sender=sender.rstrip(b"\0").decode(errors="replace"),
            session=session,
            echo=echo,
            sequence=sequence,
            path=path,
            stamp_ns=stamp_ns,
            loss=loss,
            report=report,
        )

    def _check_envelope(self, datagram: bytes) -> None:
        """What can be refused without the cost of a MAC, and named better than "authentication failed"."""
        if datagram[: len(MAGIC)] != MAGIC[: len(datagram)]:
            raise HeartbeatError(Rejection.BAD_MAGIC, "not a heartbeat")
        if len(datagram) > _VERSION_AT and datagram[_VERSION_AT] != VERSION:
            raise HeartbeatError(Rejection.VERSION, f"version {datagram[_VERSION_AT]}, not {VERSION}")
        if len(datagram) != LENGTH:
            raise HeartbeatError(Rejection.TRUNCATED, f"{len(datagram)} bytes instead of {LENGTH}")
        if datagram[_CLUSTER_AT : _CLUSTER_AT + 8] != self._cluster:
            raise HeartbeatError(Rejection.WRONG_CLUSTER, "of another cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An authentic datagram. ``live``: its sender proved to be alive. ``answer``: it waits for ours."""

    heartbeat: Heartbeat
    live: bool
    answer: bool
