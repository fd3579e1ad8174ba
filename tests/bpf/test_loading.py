"""Loading and taking over: programs in their places, IPv6 when it is wanted, and the sizes of what is already there."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from shoal.dataplane.base import DataplaneState, Destination, RemoveService, Service
from shoal.dataplane.ebpf import numbers
from shoal.dataplane.ebpf.abi import PROGRAMS, ffi
from shoal.dataplane.ebpf.backend import EbpfDataplane
from shoal.dataplane.ebpf.libbpf import get_pinned, lib
from shoal.dataplane.ebpf.tables import close_descriptor
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.errors import ConfigError
from shoal.model import ForwardingMethod, Listener, Protocol
from support.namespaces import bpffs
from support.packet_bench import PASS, SEND, PacketBench, packet_bench
from support.translation import service_to_ipv4

VIP = IPv4Address("192.0.2.10")
SYN = Packet(
    source=IPv4Address("198.51.100.7"),
    source_port=40_000,
    destination=VIP,
    destination_port=80,
    flags=TcpFlags.SYN,
)


def service(
    name: str = "www", *, port: int = 80, reals: int = 2, weight: int = 1, first: int = 21
) -> Service:
    """A virtual server with that many real servers."""
    return Service(
        name=name,
        listeners=(Listener(address=VIP, port=port, protocol=Protocol.TCP),),
        scheduler="wrr",
        method=ForwardingMethod.NAT,
        destinations=tuple(
            Destination(address=IPv4Address("10.0.1.0") + first + each, port=80, weight=weight)
            for each in range(reals)
        ),
    )


def places(bench: PacketBench, array: str) -> dict[str, int]:
    """The identity numbers of the programs in a pinned program array, by the name of their place."""
    descriptor = get_pinned(bench.pins / "maps" / array)
    assert descriptor is not None
    found = {}
    try:
        for name, place in PROGRAMS.items():
            key, value = ffi.new("__u32 *", place), ffi.new("__u32 *")
            if lib.bpf_map_lookup_elem(descriptor, key, value) == 0:
                found[name] = value[0]
    finally:
        close_descriptor(descriptor)
    return found


@pytest.fixture
def fresh(bench: PacketBench) -> Iterator[PacketBench]:
    """A dataplane of its own, which nobody has used for IPv6 yet."""
    with packet_bench(bench.program) as own:
        yield own


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Path]:
    """A folder in a bpffs."""
    with bpffs(tmp_path) as mounted:
        yield mounted / "pins"


def test_ipv6_is_left_to_the_host_until_a_virtual_server_has_an_address_of_it(fresh: PacketBench):
    fresh.put(service())
    fresh.family = 6
    frame = fresh.frame(SYN)
    assert fresh.send(frame) == (PASS, frame, None)
    assert not (fresh.pins / "maps" / "connections6").exists()
    fresh.put(service("www6"))
    assert fresh.send(frame)[0] == SEND
    fresh.family = 4
    assert fresh.send(fresh.frame(SYN))[0] == SEND


def test_a_successor_replaces_every_program_and_leaves_no_place_empty(fresh: PacketBench):
    fresh.family = 6
    fresh.put(service())
    assert fresh.send(fresh.frame(SYN))[0] == SEND
    array = fresh.program.replace("shoal", "programs")
    before = places(fresh, array)
    assert {"SHOAL_PROGRAM_IPV6", "SHOAL_PROGRAM_OPEN4", "SHOAL_PROGRAM_OPEN6"} <= before.keys()
    fresh.dataplane.close()
    assert places(fresh, array) == before
    fresh.reopen()
    assert fresh.send(fresh.frame(replace(SYN, flags=TcpFlags.ACK)))[0] == SEND
    after = places(fresh, array)
    assert after.keys() == before.keys()
    assert set(after.values()).isdisjoint(before.values())
    (connection,) = fresh.dataplane.connections(limit=10)
    assert connection.client[0] == fresh.address(SYN.source)


def test_a_successor_reads_what_its_predecessor_installed(fresh: PacketBench):
    four, six = service(), service("www6", reals=5)
    fresh.put(four)
    fresh.family = 6
    fresh.put(six)
    fresh.reopen()
    found = fresh.dataplane.actual().services
    assert found["www"] == four
    assert service_to_ipv4(found["www6"]) == six


def test_a_table_that_is_there_keeps_its_size_and_the_way_out_is_told(pins: Path):
    limits = {"max_connections": 1024, "max_virtual_servers": 2, "max_real_servers": 3}
    EbpfDataplane.open(pins, **limits).close()
    dataplane = EbpfDataplane.open(pins, **limits | {"max_real_servers": 100})
    try:
        bench_service = service(reals=4)
        with pytest.raises(ConfigError, match="more than 3 real servers") as caught:
            dataplane._installation.put(bench_service)
        assert "max_real_servers" in caught.value.fix
        assert "made for other limits" in caught.value.fix
        assert dataplane.actual() == DataplaneState()
        dataplane._installation.put(service(reals=3))
        assert dataplane.actual().services["www"] == service(reals=3)
    finally:
        dataplane.remove()


def test_quick_changes_of_everything_wait_for_room_and_are_not_refused(pins: Path):
    """Each writes its members and ring beside those that still rest."""
    dataplane = EbpfDataplane.open(pins, max_connections=1024, max_virtual_servers=1, max_real_servers=1000)
    try:
        for weight in range(1, 8):
            dataplane._installation.put(service(reals=1000, weight=weight))
        (destination, *_) = dataplane.actual().services["www"].destinations
        assert destination.weight == 7
    finally:
        dataplane.remove()


def test_what_is_read_back_follows_the_maps_and_not_what_was_put(bench: PacketBench):
    bench.put(service())
    installation = bench.dataplane._installation
    assert all(each.available for each in bench.dataplane.actual().services["www"].destinations)
    (first, second) = installation.numbers_of(installation.by_name["www"])
    installation.destinations[second].flags = 0
    config = installation.services[installation.by_name["www"]].config
    tables = bench.dataplane._loaded
    tables.table("members")[tables.table("service_configs")[config].members].weight = 9
    found = bench.dataplane.actual().services["www"].destinations
    assert [(each.weight, each.available) for each in found] == [(9, True), (1, False)]
    assert first != second


def test_a_number_that_goes_to_another_real_server_is_read_anew(
    bench: PacketBench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(numbers, "REST", 0.0)
    bench.put(service(reals=1))
    installation = bench.dataplane._installation
    before = installation.numbers_of(installation.by_name["www"])
    assert bench.dataplane.actual().services["www"] == service(reals=1)
    bench.dataplane.apply([RemoveService(name="www")])
    bench.dataplane.sweep()
    bench.put(service(reals=1, first=99))
    assert installation.numbers_of(installation.by_name["www"]) == before
    assert bench.dataplane.actual().services["www"] == service(reals=1, first=99)


def test_what_real_servers_are_called_outside_follows_every_change(bench: PacketBench):
    reverses = bench.dataplane._loaded.dictionary("reverses")

    def named() -> int:
        return len(list(reverses.items()))

    bench.put(service(reals=3))
    assert named() == 3
    bench.put(service("tls", port=443, reals=2))
    assert named() == 1  # two serve both, and stand for neither
    bench.put(service("tls", port=443, reals=0))
    assert named() == 3
    bench.dataplane.apply([RemoveService(name="www")])
    assert named() == 0
