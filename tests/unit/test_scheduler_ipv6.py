"""Schedulers that look at addresses, over IPv6: the kernel folds an address's four words into one."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.schedulers import Load, Request, mh, scheduler_class
from shoal.schedulers.hashing import endpoint_sum, folded

WORDS = st.integers(0, 2**32 - 1)


def servers(count: int) -> list[Load]:
    """Real servers 2001:db8:1::21 and so on."""
    return [Load(weight=1, address=IPv6Address("2001:db8:1::21") + n, port=80) for n in range(count)]


def test_an_address_folds_to_the_exclusive_or_of_its_words():
    # 20010db8 ^ 00010002 = 20000dba, ^ 00030004 = 20030dbe, ^ 00050006 = 20060db8
    assert folded(IPv6Address("2001:db8:1:2:3:4:5:6")) == 0x20060DB8
    assert folded(IPv6Address("2001:db8::2001:db8")) == 0
    assert folded(IPv4Address("192.0.2.10")) == 0xC000020A


def test_the_port_is_added_to_the_folded_address():
    assert endpoint_sum(IPv6Address("2001:db8::10"), 80) == 0x20010DA8 + 80
    assert endpoint_sum(IPv6Address("::ffff:ffff"), 80, offset=3) == 82


@pytest.mark.parametrize(
    ("last", "bucket"),
    # the folded address times 61c88647, the high 8 bits of the low 32
    [("2001:db8", 0x00), ("2001:db9", 0x61), ("2001:dba", 0xC3), ("2001:dbb", 0x25)],
)
def test_sh_and_dh_choose_by_the_bucket_of_the_folded_address(last: str, bucket: int):
    address = IPv6Address(f"2001:db8::{last}")
    loads = servers(3)
    assert scheduler_class("dh")().choose(loads, Request(virtual_address=address)) == bucket % 3
    assert scheduler_class("sh")().choose(loads, Request(client=address)) == bucket % 3


@given(WORDS, WORDS, WORDS, WORDS, st.integers(0, 65535), st.sampled_from(["sh", "mh"]))
def test_an_ipv6_client_goes_where_the_ipv4_client_of_its_fold_goes(a, b, c, word, port, name):
    scheduler = scheduler_class(name)(flags=(f"{name}-port",))
    loads = servers(5)
    client = IPv6Address(a << 96 | b << 64 | c << 32 | (a ^ b ^ c ^ word))
    six, four = (Request(client=each, client_port=port) for each in (client, IPv4Address(word)))
    assert scheduler.choose(loads, six) == scheduler.choose(loads, four)


def test_maglev_fills_its_table_by_the_folded_addresses_of_the_real_servers():
    folds = [Load(weight=1, address=IPv4Address(folded(each.address)), port=80) for each in servers(4)]
    assert mh.table(servers(4)) == mh.table(folds)


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_virtual_addresses_of_one_fold_are_remembered_apart(name: str):
    first, second = IPv6Address("2001:db8:1::2"), IPv6Address("2001:db8:0:0:1::2")
    assert folded(first) == folded(second)
    scheduler = scheduler_class(name)()
    idle, busy = servers(2)
    assert scheduler.choose([idle, busy], Request(virtual_address=first)) == 0
    loaded = Load(weight=2, active=1, address=idle.address, port=80)
    assert scheduler.choose([loaded, busy], Request(virtual_address=second)) == 1
    assert scheduler.choose([loaded, busy], Request(virtual_address=first)) == 0
