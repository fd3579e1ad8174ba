"""The supervisor's rules: when a child starts again, what must be right before anything starts."""

import signal
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ConfigError, ConfigErrors, ForbiddenError
from shoal.supervisor.children import Service, child_table
from shoal.supervisor.preflight import check_interfaces, check_rights, find_router, serves_ipv6
from shoal.supervisor.restarts import Restarts
from shoal.system.bpffs import type_of_mount
from shoal.system.host import Host, effective_capabilities, local_addresses, local_addresses_ipv6
from shoal.system.places import Places
from support.clusters import TWO_ROUTERS, cluster

HOST = Host(
    name="lb1.example.net",
    interfaces=("lo", "eth0", "eth1"),
    addresses=frozenset({IPv4Address("127.0.0.1"), IPv4Address("192.0.2.12")}),
    capabilities=frozenset(range(41)),
)


def test_the_first_death_is_answered_at_once() -> None:
    restarts = Restarts()
    restarts.started(now=100.0)
    assert restarts.died(now=100.5) == 100.5


def test_a_child_that_goes_on_dying_waits_longer_each_time_and_5_s_at_most() -> None:
    restarts, waits = Restarts(), []
    for _ in range(9):
        restarts.started(now=100.0)
        waits.append(round(restarts.died(now=100.0) - 100.0, 3))
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_child_that_lived_for_a_while_is_started_at_once_again() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.started(now=100.0)
        restarts.died(now=100.0)
    restarts.started(now=200.0)
    assert restarts.died(now=210.0) == 210.0


@given(st.lists(st.floats(0, 9), max_size=2000))
def test_no_number_of_deaths_makes_a_child_wait_longer_than_5_s(lives: list[float]) -> None:
    restarts = Restarts()
    for life in lives:
        restarts.started(now=0.0)
        assert life <= restarts.died(now=life) <= life + 5.0


def test_a_router_is_found_by_the_name_that_the_operator_gives() -> None:
    assert find_router(cluster(TWO_ROUTERS), HOST, name="lb2").name == "lb2"


def test_a_router_is_found_by_the_host_name_before_its_address() -> None:
    assert find_router(cluster(TWO_ROUTERS), HOST, name=None).name == "lb1"


def test_a_router_is_found_by_an_address_of_the_host() -> None:
    assert find_router(cluster(TWO_ROUTERS), replace(HOST, name="web"), name=None).name == "lb2"


def test_a_file_without_routers_is_for_this_host() -> None:
    assert find_router(cluster(), replace(HOST, name="any"), name=None).name == "this"


def test_a_router_that_the_file_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError) as refusal:
        find_router(cluster(TWO_ROUTERS), HOST, name="lb9")
    told = refusal.value
    assert (told.where, told.problem, told.fix) == (
        "--router",
        "no router is called 'lb9'",
        "one of: lb1, lb2",
    )


def test_a_host_that_is_no_router_of_the_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"this host is none of the routers \(its name is 'web'; "):
        find_router(cluster(TWO_ROUTERS), replace(HOST, name="web", addresses=frozenset()), name=None)


def test_a_host_with_the_addresses_of_two_routers_is_refused() -> None:
    both = frozenset({IPv4Address("192.0.2.11"), IPv4Address("10.0.1.12")})
    with pytest.raises(ConfigError, match="this host is more than one router"):
        find_router(cluster(TWO_ROUTERS), replace(HOST, name="web", addresses=both), name=None)


def test_every_interface_that_is_missing_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigErrors) as refusal:
        check_interfaces(
            cluster(TWO_ROUTERS), replace(HOST, interfaces=("lo", "ens3")), source=Path("shoal.toml")
        )
    assert [str(error) for error in refusal.value.errors] == [
        "shoal.toml: paths.public.interface: interface 'eth0' does not exist on this host\n"
        "  fix: one of: lo, ens3",
        "shoal.toml: paths.private.interface: interface 'eth1' does not exist on this host\n"
        "  fix: one of: lo, ens3",
    ]


def test_interfaces_that_exist_are_right() -> None:
    check_interfaces(cluster(TWO_ROUTERS), HOST, source=Path("shoal.toml"))


@pytest.mark.parametrize(
    ("capabilities", "dataplane", "missing"),
    [
        (set(), "ebpf", "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF"),
        ({12, 13}, "ebpf", "CAP_BPF"),
        ({13, 39}, "fake", "CAP_NET_ADMIN"),
    ],
)
def test_rights_that_are_missing_are_named(capabilities: set[int], dataplane: str, missing: str) -> None:
    with pytest.raises(ForbiddenError) as refusal:
        check_rights(replace(HOST, capabilities=frozenset(capabilities)), dataplane=dataplane)
    assert refusal.value.problem == f"missing {missing}"
    assert refusal.value.fix.startswith("run as root")


@pytest.mark.parametrize(
    ("capabilities", "dataplane"), [({12, 13, 39}, "ebpf"), ({12, 13, 21}, "ebpf"), ({12, 13}, "fake")]
)
def test_the_rights_that_a_dataplane_needs_are_enough(capabilities: set[int], dataplane: str) -> None:
    check_rights(replace(HOST, capabilities=frozenset(capabilities)), dataplane=dataplane)


def test_capabilities_are_read_from_the_process_status() -> None:
    assert effective_capabilities("Name:\tx\nCapPrm:\tff\nCapEff:\t0000000000003000\n") == {12, 13}
    assert effective_capabilities("") == frozenset()


def test_local_addresses_are_read_from_the_routing_table() -> None:
    table = """Local:
  +-- 10.0.1.0/24 2 0 2
     |-- 10.0.1.0
        /32 link UNICAST
     |-- 10.0.1.11
        /32 host LOCAL
     |-- 10.0.1.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
"""
    assert local_addresses(table) == {IPv4Address("10.0.1.11"), IPv4Address("127.0.0.1")}


def test_local_ipv6_addresses_are_read_from_the_list_of_the_interfaces() -> None:
    table = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "20010db8000000000000000000000011 02 40 00 80     eth0\n"
    )
    assert local_addresses_ipv6(table) == {IPv6Address("::1"), IPv6Address("2001:db8::11")}


MOUNTS = r"""22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:26 / /sys rw - sysfs sysfs rw
31 30 0:27 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700
40 22 0:30 / /run rw - tmpfs tmpfs rw
41 40 0:31 / /run/with\040blank rw shared:3 - bpf bpf rw
42 40 0:32 / /run/shoal rw - tmpfs tmpfs rw
43 42 0:33 / /run/shoal rw - bpf bpf rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/sys/fs/bpf/shoal", "bpf"),
        ("/sys/fs/bpf", "bpf"),
        ("/sys/fs/bpfx", "sysfs"),
        ("/run", "tmpfs"),
        ("/run/with blank/x", "bpf"),
        ("/run/shoal", "bpf"),
        ("/home", "ext4"),
    ],
)
def test_the_file_system_under_a_folder_is_that_of_the_nearest_mount(folder: str, kind: str) -> None:
    assert type_of_mount(Path(folder), MOUNTS) == kind


def test_children_are_started_in_order_with_the_same_arguments() -> None:
    places = Places(run=Path("/r"), state=Path("/s"), pins=Path("/b"))
    service = Service(
        source=Path("/etc/shoal.toml"), router="lb1", places=places, dataplane="ebpf", supervisor=7
    )
    table = child_table(service)
    common = "--config /r/config.toml --router lb1 --run-dir /r --state-dir /s --bpf-dir /b"
    assert [" ".join(child.argv[1:]) for child in table] == [
        f"-P -m shoal.api {common} --source /etc/shoal.toml --dataplane ebpf --supervisor 7",
        f"-P -m shoal.nanny {common}",
        f"-P -m shoal.pulse {common}",
    ]
    assert [(child.name, child.stop_signal) for child in table] == [
        ("lvsd", signal.SIGUSR1),
        ("nanny", signal.SIGTERM),
        ("pulse", signal.SIGTERM),
    ]
    assert table[0].clear == (*table[0].argv, "--remove-dataplane")


TUNNEL = """
[paths.public]
interface = "eth0"
[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
method = "tunnel"
real_servers = ["{real}:80"]
"""


@pytest.mark.parametrize(("real", "forwards"), [("10.0.1.21", False), ("[2001:db8:1::21]", True)])
def test_a_router_whose_tunnels_end_at_ipv6_addresses_forwards_ipv6(real: str, forwards: bool) -> None:
    assert serves_ipv6(cluster(TUNNEL.format(real=real))) is forwards
