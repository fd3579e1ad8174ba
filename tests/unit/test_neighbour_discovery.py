"""Unsolicited neighbour advertisements, byte by byte."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.system import announcer, arp
from shoal.system.neighbour_discovery import ALL_NODES, announcement, checksum, multicast_mac

MAC = bytes.fromhex("020000000001")
VIP = IPv6Address("2001:db8::10")


def words_of(packet: bytes) -> list[int]:
    return [int.from_bytes(packet[at : at + 2], "big") for at in range(0, len(packet), 2)]


def test_an_advertisement_is_laid_out_as_rfc_4861_has_it() -> None:
    frame = announcement(VIP, MAC)
    assert frame[:14].hex() == "33330000000102000000000186dd"
    header, message = frame[14:54], frame[54:]
    assert header[:8].hex() == "6000000000203aff"  # version 6; 32 bytes, ICMPv6, hop limit 255
    assert (header[8:24], header[24:]) == (VIP.packed, IPv6Address("ff02::1").packed)
    assert message[:2].hex() == "8800"  # type 136, code 0
    assert message[4:8].hex() == "a0000000"  # a router; not solicited; override
    assert message[8:24] == VIP.packed
    assert message[24:].hex() == "0201020000000001"  # target link-layer address, 8 bytes
    assert len(frame) == 14 + 40 + 32


def test_the_checksum_is_that_of_rfc_4443_over_pseudo_header_and_message() -> None:
    frame = announcement(VIP, MAC)
    message = frame[54:]
    # 2001 0db8 0010 + ff02 0001 + length 0020 + next header 003a + 8800 a000 + target 2001 0db8 0010
    # + option 0201 0200 0000 0001
    total = 0x2001 + 0x0DB8 + 0x10 + 0xFF02 + 1 + 0x20 + 0x3A + 0x8800 + 0xA000
    total += 0x2001 + 0x0DB8 + 0x10 + 0x0201 + 0x0200 + 0x0001
    folded = (total & 0xFFFF) + (total >> 16)
    assert message[2:4] == (~folded & 0xFFFF).to_bytes(2, "big")


@given(st.binary(max_size=80))
def test_a_message_with_its_checksum_in_it_adds_up_to_all_ones(body: bytes) -> None:
    message = bytes.fromhex("88000000") + body
    total = checksum(message, source=VIP, destination=ALL_NODES)
    summed = message[:2] + total.to_bytes(2, "big") + body
    words = [*words_of(VIP.packed + ALL_NODES.packed), len(message), 58]
    words += words_of(summed + bytes(len(body) % 2))
    whole = sum(words)
    while whole >> 16:
        whole = (whole & 0xFFFF) + (whole >> 16)
    assert whole == 0xFFFF


@pytest.mark.parametrize(
    ("group", "mac"), [("ff02::1", "333300000001"), ("ff02::1:ffab:cdef", "3333ffabcdef")]
)
def test_a_group_has_the_ethernet_address_of_rfc_2464(group: str, mac: str) -> None:
    assert multicast_mac(IPv6Address(group)).hex() == mac


def test_each_family_is_announced_in_its_own_way() -> None:
    four = IPv4Address("192.0.2.10")
    assert announcer.announcement(four, MAC) == (0x0806, arp.announcement(four, MAC))
    assert announcer.announcement(VIP, MAC) == (0x86DD, announcement(VIP, MAC))
