"""The file of last known health: what a nanny that starts again goes on from. Pure: bytes in, bytes out.

Health is filed under the question's identity, so it outlives changes of the configuration that do not concern
it.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from shoal.errors import PeerError

_VERSION = 1


class LastKnown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Health of one question. ``since`` is Unix time, seconds."""

    health: Literal["unknown", "up", "down"]
    reason: str
    since: float


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    targets: dict[str, LastKnown]


def encode(targets: Mapping[str, LastKnown]) -> bytes:
    """The file's content."""
    return msgspec.json.format(msgspec.json.encode(_File(_VERSION, dict(targets)))) + b"\n"


def decode(content: bytes) -> Mapping[str, LastKnown]:
    """What the file holds. PeerError: it is torn, or of another version; then nothing is known."""
    try:
        found = msgspec.json.decode(content, type=_File)
    except msgspec.MsgspecError as error:
        raise PeerError(problem=f"last known health is unreadable: {error}", where="health.json") from error
    if found.version != _VERSION:
        raise PeerError(
            problem=f"last known health has version {found.version}, expected {_VERSION}", where="health.json"
        )
    return found.targets
