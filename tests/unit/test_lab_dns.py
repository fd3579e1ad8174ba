"""The lab's DNS, byte by byte."""

import pytest

from shoal.errors import PeerError
from shoal.lab import dns

ASKED = bytes.fromhex("beef 0100 0001 0000 0000 0000 06 736572766572 03 6c6162 00 0010 0001")
ANSWERED = bytes.fromhex(
    "beef 8400 0001 0001 0000 0000 06 736572766572 03 6c6162 00 0010 0001"
    "c00c 0010 0001 00000000 0004 03 727331"
)


def test_a_question_is_one_txt_question():
    assert dns.question(0xBEEF) == ASKED


def test_it_is_answered_with_the_name_and_the_same_identifier():
    assert dns.answer(ASKED, "rs1") == ANSWERED
    assert dns.text_in(ANSWERED, number=0xBEEF) == "rs1"


@pytest.mark.parametrize("asked", [b"", ASKED[:-1], ASKED[:12], ASKED + b"x", ANSWERED])
def test_another_question_is_not_answered(asked):
    assert dns.answer(asked, "rs1") == b""


@pytest.mark.parametrize("answered", [b"", ASKED, ANSWERED[:34], b"\0\0" + ANSWERED[2:]])
def test_what_is_no_answer_is_refused(answered):
    with pytest.raises(PeerError):
        dns.text_in(answered, number=0xBEEF)
