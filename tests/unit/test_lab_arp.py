"""ARP frames."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from shoal.lab.arp import REQUEST, ArpFrame, decode, request

MAC = bytes.fromhex("025a0000010b")


def test_a_question_is_a_broadcast_arp_request():
    frame = request(mac=MAC, sender=IPv4Address("10.0.0.1"), target=IPv4Address("10.0.0.2"))
    assert frame == bytes.fromhex(
        "ffffffffffff 025a0000010b 0806 0001 0800 06 04 0001 025a0000010b 0a000001 000000000000 0a000002"
    )


def test_a_frame_is_read_back_as_it_was_written():
    frame = request(mac=MAC, sender=IPv4Address("10.0.0.1"), target=IPv4Address("10.0.0.2"))
    assert decode(frame) == ArpFrame(
        operation=REQUEST,
        sender_mac="02:5a:00:00:01:0b",
        sender=IPv4Address("10.0.0.1"),
        target=IPv4Address("10.0.0.2"),
    )


def test_an_announcement_is_a_frame_about_the_senders_own_address():
    own = IPv4Address("10.0.0.1")
    frame = decode(request(mac=MAC, sender=own, target=own))
    assert frame is not None
    assert frame.gratuitous


def test_padding_behind_a_frame_does_not_matter():
    frame = request(mac=MAC, sender=IPv4Address("10.0.0.1"), target=IPv4Address("10.0.0.2"))
    assert decode(frame + bytes(18)) == decode(frame)


def test_another_protocol_is_not_arp():
    frame = request(mac=MAC, sender=IPv4Address("10.0.0.1"), target=IPv4Address("10.0.0.2"))
    assert decode(frame[:12] + b"\x08\x00" + frame[14:]) is None


@given(st.binary(max_size=64))
def test_garbage_is_read_without_an_error(frame: bytes):
    assert decode(frame) is None or len(frame) >= 42
