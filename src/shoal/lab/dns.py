"""As much of DNS as the lab speaks: one question for a TXT record, and its answer (RFC 1035 section 4). Pure."""

import struct

from shoal.errors import PeerError

QUESTION = "server.lab"
_TXT, _IN = 16, 1
_HEADER = struct.Struct("!6H")
_RESPONSE = 0x8400  # an answer, authoritative, no error
_RECURSION = 0x0100
_TO_QUESTION = 0xC00C  # a name that stands at offset 12 (4.1.4)
_RECORD = struct.Struct("!HHHIH")


def question(number: int) -> bytes:
    """Ask for the TXT record of ``server.lab``; ``number`` is the identifier (0 to 65535)."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in QUESTION.split("."))
    return _HEADER.pack(number, _RECURSION, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", _TXT, _IN)


def answer(asked: bytes, text: str) -> bytes:
    """The answer with one TXT record; empty for what is not this question."""
    if len(asked) < _HEADER.size or asked[2:] != question(0)[2:]:
        return b""
    (number,) = struct.unpack_from("!H", asked)
    data = bytes([len(text)]) + text.encode()
    record = _RECORD.pack(_TO_QUESTION, _TXT, _IN, 0, len(data)) + data
    return _HEADER.pack(number, _RESPONSE, 1, 1, 0, 0) + asked[_HEADER.size :] + record


def text_in(answered: bytes, *, number: int) -> str:
    """The text of an answer to ``question(number)``. Raises PeerError for anything else."""
    prefix = _HEADER.pack(number, _RESPONSE, 1, 1, 0, 0) + question(number)[_HEADER.size :]
    record = answered[len(prefix) :]
    if not answered.startswith(prefix) or len(record) <= _RECORD.size:
        raise PeerError(where="DNS answer", problem=f"{len(answered)} bytes that do not answer the question")
    length = record[_RECORD.size]
    return record[_RECORD.size + 1 : _RECORD.size + 1 + length].decode()
