"""The heartbeat on the wire."""

import hashlib
import hmac
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model import RouterState
from shoal.pulse.heartbeat import LENGTH, Codec, HeartbeatError, Rejection
from shoal.pulse.nouns import Flag, Heartbeat, Report

KEY = b"sixteen bytes at least"
PATHS = ("private", "public")
CODEC = Codec(cluster="web", key=KEY, paths=PATHS)
U64 = st.integers(min_value=0, max_value=2**64 - 1)


def heartbeat(**changes: object) -> Heartbeat:
    """A plain one, with some fields changed."""
    report = Report(state=RouterState.ACTIVE, flags=Flag.READY, priority=100, epoch=7, links=(True, False))
    fields = {
        "sender": "lb1",
        "session": 11,
        "echo": 22,
        "sequence": 33,
        "path": "public",
        "stamp_ns": 44,
        "loss": 5,
        "report": report,
    }
    return Heartbeat(**{**fields, **changes})  # type: ignore[arg-type]


def reason_of(datagram: bytes, codec: Codec = CODEC) -> Rejection:
    """Why a datagram is refused."""
    with pytest.raises(HeartbeatError) as refused:
        codec.decode(datagram)
    assert refused.value.fix
    return refused.value.reason


reports = st.builds(
    Report,
    state=st.sampled_from(RouterState),
    flags=st.integers(min_value=0, max_value=63).map(Flag),
    priority=st.integers(min_value=0, max_value=65535),
    epoch=U64,
    links=st.lists(st.booleans(), max_size=32).map(tuple),
    config_serial=U64,
    config_digest=st.binary(min_size=16, max_size=16),
    sync_lag_ms=st.integers(min_value=0, max_value=2**32 - 1),
)
heartbeats = st.builds(
    Heartbeat,
    sender=st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=64),
    session=U64.filter(bool),
    echo=U64,
    sequence=U64.filter(bool),
    path=st.sampled_from(PATHS),
    stamp_ns=U64,
    loss=st.integers(min_value=0, max_value=100),
    report=reports,
)


@given(heartbeats)
def test_what_is_encoded_is_decoded(sent: Heartbeat) -> None:
    datagram = CODEC.encode(sent)
    assert len(datagram) == LENGTH == 196
    assert CODEC.decode(datagram) == sent


def test_every_truncation_is_refused() -> None:
    datagram = CODEC.encode(heartbeat())
    assert {reason_of(datagram[:length]) for length in range(LENGTH)} == {Rejection.TRUNCATED}
    assert reason_of(datagram + b"\0") == Rejection.TRUNCATED


def test_every_flipped_bit_is_refused() -> None:
    datagram = CODEC.encode(heartbeat())
    reasons = set()
    for bit in range(8 * LENGTH):
        flipped = bytearray(datagram)
        flipped[bit // 8] ^= 1 << bit % 8
        reasons.add(reason_of(bytes(flipped)))
    assert reasons == {
        Rejection.BAD_MAGIC,
        Rejection.VERSION,
        Rejection.WRONG_CLUSTER,
        Rejection.BAD_MAC,
    }


@given(st.binary(max_size=2 * LENGTH))
def test_no_garbage_is_believed(garbage: bytes) -> None:
    assert reason_of(garbage) in {Rejection.BAD_MAGIC, Rejection.TRUNCATED}


def test_another_key_is_refused() -> None:
    other = Codec(cluster="web", key=b"another key, as long", paths=PATHS)
    assert reason_of(other.encode(heartbeat())) == Rejection.BAD_MAC


def test_another_cluster_is_named_as_that_even_with_another_key() -> None:
    other = Codec(cluster="mail", key=b"another key, as long", paths=PATHS)
    assert reason_of(other.encode(heartbeat())) == Rejection.WRONG_CLUSTER


def test_another_version_is_named_as_that() -> None:
    datagram = bytearray(CODEC.encode(heartbeat()))
    datagram[4] = 2
    assert reason_of(bytes(datagram)) == Rejection.VERSION


def test_a_path_that_is_not_configured_is_refused() -> None:
    other = Codec(cluster="web", key=KEY, paths=("third",))
    assert reason_of(other.encode(heartbeat(path="third"))) == Rejection.WRONG_PATH


def _resign(body: bytes) -> bytes:
    key = hmac.digest(KEY, b"shoal heartbeat 1", "sha256")
    return body + hmac.new(key, body, hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("offset", "value"),
    [(5, b"\x09"), (16, bytes(8)), (32, bytes(8)), (94, b"\x03"), (95, b"\x21")],
    ids=["state", "session 0", "sequence 0", "more links up than there are", "too many links"],
)
def test_authentic_nonsense_is_malformed(offset: int, value: bytes) -> None:
    body = bytearray(CODEC.encode(heartbeat())[:-32])
    body[offset : offset + len(value)] = value
    assert reason_of(_resign(bytes(body))) == Rejection.MALFORMED


def test_unknown_flags_of_a_later_version_are_ignored() -> None:
    body = bytearray(CODEC.encode(heartbeat())[:-32])
    body[6] = 0xFF
    assert CODEC.decode(_resign(bytes(body))).report.flags == Flag.READY


def test_a_name_that_does_not_fit_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        CODEC.encode(heartbeat(sender="x" * 65))


def test_the_document_describes_every_byte() -> None:
    document = Path(__file__).parents[2] / "docs" / "protocol" / "heartbeat.md"
    rows = re.findall(r"^\| (\d+) \| (\d+) \| \w", document.read_text(), re.MULTILINE)
    end = 0
    for offset, length in rows:
        assert int(offset) == end
        end += int(length)
    assert end == LENGTH
