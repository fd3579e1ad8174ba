"""The schedulers that hash: sh dh mh, and the kernel's hashes below them."""

from collections import Counter
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.schedulers import Load, Request, dh, mh, scheduler_class, sh
from shoal.schedulers.hashing import endpoint_sum, hash_32, siphash13

CLIENTS = [IPv4Address("198.51.100.0") + 7919 * number for number in range(1000)]


def servers(*weights: int, down: tuple[int, ...] = ()) -> list[Load]:
    """Real servers 10.0.1.21 and so on."""
    return [
        Load(
            weight=weight,
            available=index not in down,
            address=IPv4Address("10.0.1.21") + index,
            port=80,
        )
        for index, weight in enumerate(weights)
    ]


def spread(name: str, loads: list[Load], *, flags: tuple[str, ...] = ()) -> list[int | None]:
    """The choices for a thousand clients."""
    scheduler = scheduler_class(name)(flags=flags)
    return [scheduler.choose(loads, Request(client=client, client_port=40_000)) for client in CLIENTS]


@pytest.mark.parametrize(
    ("value", "expected"),
    # hash() of CPython 3.11, which is SipHash-1-3: PYTHONHASHSEED=0 makes its key 0
    [
        (0, 14709398186846620400),
        (1, 1742378985846435984),
        (0xDEADBEEF, 3833508388381885011),
        (0x64636261, 16416137402921954953),
    ],
)
def test_siphash_is_that_of_another_implementation(value, expected):
    assert siphash13(value, 0) == expected


def test_hash_32_takes_the_high_bits_of_the_product():
    assert [hash_32(value, 8) for value in (0, 1, 2, 0xFFFFFFFF)] == [0, 0x61, 0xC3, 0x9E]
    assert hash_32(1, 32) == 0x61C88647


def test_the_sum_that_is_hashed_has_32_bits():
    assert endpoint_sum(IPv4Address("255.255.255.255"), 80, offset=3) == 82


def test_sh_gives_each_as_many_buckets_in_a_row_as_its_weight_says():
    assert sh.table(servers(2, 1, 3))[:14] == (0, 0, 1, 2, 2, 2, 0, 0, 1, 2, 2, 2, 0, 0)
    assert sh.table(servers(1, 0, 1))[:6] == (0, 1, 2, 0, 1, 2)
    assert sh.table(servers(300, 5)) == (0,) * 256
    assert sh.table([]) == ()


def test_dh_gives_each_a_bucket_in_turn():
    assert dh.table(servers(5, 0, 1))[:6] == (0, 1, 2, 0, 1, 2)
    assert len(dh.table(servers(1, 1))) == 256


@given(st.lists(st.integers(0, 65535), max_size=20))
def test_every_bucket_of_maglev_has_a_server_with_a_weight(weights):
    table = mh.table(servers(*weights))
    if not any(weights):
        assert table == ()
        return
    assert len(table) == mh.TABLE_SIZE
    assert {index for index, weight in enumerate(weights) if weight} == set(table)


def test_maglev_is_fair_to_equals_and_proportional_to_weights():
    assert {*Counter(mh.table(servers(1, 1, 1))).values()} == {1364, 1365}
    found = Counter(mh.table(servers(1, 2, 5)))
    assert [round(8 * found[index] / mh.TABLE_SIZE, 1) for index in range(3)] == [1.0, 2.0, 5.0]


def test_turns_of_maglev_are_weights_by_their_divisor_in_six_bits():
    assert mh.turns([10, 20, 0, 50]) == [1, 2, 0, 5]
    assert mh.turns([63, 1]) == [63, 1]
    assert mh.turns([64, 1]) == [32, 1]
    assert mh.turns([65535, 1, 1024]) == [63, 1, 1]


@pytest.mark.parametrize("name", ["sh", "mh"])
def test_a_client_is_chosen_for_by_its_address_alone(name):
    loads = servers(1, 1, 1)
    scheduler = scheduler_class(name)()
    for client in CLIENTS[:50]:
        chosen = {scheduler.choose(loads, Request(client=client, client_port=port)) for port in range(50)}
        assert len(chosen) == 1
    assert all(270 < count < 400 for count in Counter(spread(name, loads)).values())


@pytest.mark.parametrize("name", ["sh", "mh"])
def test_with_the_port_flag_a_client_is_spread_over_all(name):
    scheduler = scheduler_class(name)(flags=(f"{name}-port",))
    chosen = {
        scheduler.choose(servers(1, 1, 1), Request(client=CLIENTS[0], client_port=port))
        for port in range(1024, 1124)
    }
    assert chosen == {0, 1, 2}


@pytest.mark.parametrize("name", ["sh", "mh"])
def test_whoever_is_down_costs_only_its_own_clients(name):
    before, after = spread(name, servers(1, 1, 1)), spread(name, servers(1, 1, 1, down=(1,)))
    assert after == [None if index == 1 else index for index in before]


@pytest.mark.parametrize("name", ["sh", "mh"])
def test_with_the_fallback_flag_they_go_elsewhere(name):
    flags = (f"{name}-fallback",)
    before = spread(name, servers(1, 1, 1), flags=flags)
    after = spread(name, servers(1, 1, 1, down=(1,)), flags=flags)
    assert all(now == then or (then == 1 and now in (0, 2)) for now, then in zip(after, before, strict=True))
    assert 1 not in after


@pytest.mark.parametrize("name", ["sh", "mh"])
def test_the_fallback_finds_the_only_candidate_of_many(name):
    loads = servers(*[1] * 200, down=tuple(set(range(200)) - {150}))
    assert set(spread(name, loads, flags=(f"{name}-fallback",))) == {150}


def test_few_clients_of_maglev_move_when_a_server_joins():
    before, after = spread("mh", servers(1, 1, 1, 1)), spread("mh", servers(1, 1, 1, 1, 1))
    moved = sum(now not in (then, 4) for now, then in zip(after, before, strict=True))
    assert moved < 100
    assert 120 < Counter(after)[4] < 280


def test_maglev_follows_a_change_of_weight():
    scheduler = scheduler_class("mh")()
    request = Request(client=CLIENTS[0])
    first = scheduler.choose(servers(1, 1), request)
    assert first is not None
    quiesced = [0 if index == first else 1 for index in range(2)]
    assert scheduler.choose(servers(*quiesced), request) == 1 - first


def test_dh_goes_by_the_virtual_address_alone():
    scheduler = scheduler_class("dh")()
    loads = servers(1, 1, 1)
    addresses = [IPv4Address("192.0.2.0") + number for number in range(256)]
    chosen = [scheduler.choose(loads, Request(virtual_address=address)) for address in addresses]
    assert set(chosen) == {0, 1, 2}
    down = servers(1, 1, 1, down=(1,))
    for address, index in zip(addresses, chosen, strict=True):
        request = Request(virtual_address=address, client=CLIENTS[int(address) % 100])
        assert scheduler.choose(loads, request) == index
        assert scheduler.choose(down, request) == (None if index == 1 else index)
