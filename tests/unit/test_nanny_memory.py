"""The file of last known health."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import PeerError
from shoal.nanny.memory import LastKnown, decode, encode


def test_the_file_is_readable_json():
    assert encode({"10.0.1.21:80/tcp tcp": LastKnown("up", "connected", 12.5)}) == (
        b'{\n  "version": 1,\n  "targets": {\n    "10.0.1.21:80/tcp tcp": {\n      "health": "up",\n'
        b'      "reason": "connected",\n      "since": 12.5\n    }\n  }\n}\n'
    )


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.builds(
            LastKnown,
            st.sampled_from(["unknown", "up", "down"]),
            st.text(max_size=20),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read_again(targets: dict[str, LastKnown]):
    assert decode(encode(targets)) == targets


@given(st.integers(0, 130))
def test_a_torn_file_is_refused(length: int):
    with pytest.raises(PeerError, match="last known health is unreadable"):
        decode(encode({"10.0.1.21:80/tcp tcp": LastKnown("up", "connected", 12.5)})[:length])


@given(st.binary())
def test_garbage_is_refused(content: bytes):
    with pytest.raises(PeerError):
        decode(content)


def test_another_version_is_refused():
    with pytest.raises(PeerError, match="has version 2, expected 1"):
        decode(b'{"version": 2, "targets": {}}')
