"""Who claims an address: neighbour discovery's frames, and what both families have in common."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.lab import arp
from shoal.lab.claims import Claim, claim, question
from shoal.lab.neighbour_discovery import Advertisement, decode, solicitation
from shoal.system import announcer

MAC = bytes.fromhex("025a0000010b")
ASKER, VIP = IPv6Address("2001:db8::240"), IPv6Address("2001:db8::100")
# What a Linux router that has 2001:db8::100 and forwards answers to 2001:db8::240 (the checksum left out).
ANSWER = bytes.fromhex(
    "0200000000aa 025a0000010b 86dd 60000000 0020 3a ff"
    "20010db8000000000000000000000100 20010db8000000000000000000000240"
    "8800 0000 e0000000 20010db8000000000000000000000100 0201 025a0000010b"
)


def test_a_question_is_a_solicitation_to_the_targets_own_group():
    frame = solicitation(mac=MAC, sender=ASKER, target=VIP)
    assert frame[:14] == bytes.fromhex("3333ff000100 025a0000010b 86dd")
    assert frame[14:22] == bytes.fromhex("60000000 0020 3a ff")
    assert (frame[22:38], frame[38:54]) == (ASKER.packed, IPv6Address("ff02::1:ff00:100").packed)
    assert frame[54:56] + frame[58:62] == bytes.fromhex("8700 00000000")
    assert frame[62:] == VIP.packed + bytes.fromhex("0101 025a0000010b")


def test_an_answer_is_read_with_its_asker():
    assert decode(ANSWER) == Advertisement(
        mac="02:5a:00:00:01:0b", target=VIP, destination=ASKER, solicited=True, override=True
    )
    assert claim(ANSWER) == Claim(mac="02:5a:00:00:01:0b", address=VIP, asker=ASKER)


def test_an_answer_without_the_option_is_where_its_frame_came_from():
    bare = ANSWER[:18] + b"\x00\x18" + ANSWER[20:78]
    found = decode(bare)
    assert found is not None
    assert found.mac == "02:5a:00:00:01:0b"


@pytest.mark.parametrize(
    ("at", "byte"), [(12, 0x08), (20, 6), (21, 64), (54, 135)], ids=["type", "tcp", "routed", "question"]
)
def test_what_is_no_advertisement_of_a_neighbour_claims_nothing(at: int, byte: int):
    assert claim(ANSWER[:at] + bytes([byte]) + ANSWER[at + 1 :]) is None


@pytest.mark.parametrize("address", [IPv4Address("192.0.2.10"), VIP])
def test_an_announcement_of_shoal_is_a_claim_to_everybody(address: IPv4Address | IPv6Address):
    _, frame = announcer.announcement(address, MAC)
    assert claim(frame) == Claim(mac="02:5a:00:00:01:0b", address=address, asker=None)


def test_an_arp_question_for_another_address_claims_nothing():
    assert claim(arp.request(mac=MAC, sender=IPv4Address("10.0.0.1"), target=IPv4Address("10.0.0.2"))) is None


def test_a_question_across_families_is_refused():
    with pytest.raises(ValueError, match="another family"):
        question(mac=MAC, sender=IPv4Address("10.0.0.1"), target=VIP)


@given(st.binary(max_size=96), st.booleans())
def test_garbage_is_read_without_an_error(tail: bytes, like_an_answer: bool):
    frame = ANSWER[:78] + tail if like_an_answer else tail
    found = claim(frame)
    assert found is None or found.address == VIP or not like_an_answer
