"""What the dataplane should be."""

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from shoal.dataplane.base import DataplaneState, Destination, Service
from shoal.ipc.messages import TargetHealth
from shoal.lvsd.reconcile import Memory, desired, health_by_target, known_health, target_key
from shoal.model import Encapsulation, ForwardingMethod, Health, Listener, Protocol
from shoal.nanny.questions import questions
from support.clusters import cluster

FIRST, SECOND = IPv4Address("10.0.1.21"), IPv4Address("10.0.1.22")
EMPTY = DataplaneState()
HEALTHS = st.sampled_from(Health)


def service(*available: bool, weight: int = 1) -> Service:
    return Service(
        name="www",
        listeners=(Listener(address=IPv4Address("192.0.2.10"), port=80, protocol=Protocol.TCP),),
        scheduler="wlc",
        method=ForwardingMethod.NAT,
        destinations=tuple(
            Destination(address=address, port=80, weight=weight, available=each)
            for address, each in zip((FIRST, SECOND), available, strict=True)
        ),
    )


def health(first: Health, second: Health) -> dict[tuple[str, str], Health]:
    return {("www", "10.0.1.21:80"): first, ("www", "10.0.1.22:80"): second}


def test_a_server_that_is_up_takes_connections_and_one_that_is_down_does_not() -> None:
    state = desired(cluster(), health=health(Health.UP, Health.DOWN), actual=EMPTY)
    assert state == DataplaneState(services={"www": service(True, False)})


def test_the_scheduler_is_taken_over_with_its_flags() -> None:
    flagged = replace(cluster().virtual_servers[0], scheduler="mh", scheduler_flags=("mh-port",))
    state = desired(replace(cluster(), virtual_servers=(flagged,)), health={}, actual=EMPTY)
    assert state.services["www"] == replace(
        service(False, False), scheduler="mh", scheduler_flags=("mh-port",)
    )


def test_a_server_that_was_never_checked_gets_no_traffic_before_its_first_pass() -> None:
    state = desired(cluster(), health={}, actual=EMPTY)
    assert state == DataplaneState(services={"www": service(False, False)})


def test_while_health_is_unknown_an_installed_server_stays_as_it_is() -> None:
    actual = DataplaneState(services={"www": service(True, False)})
    assert desired(cluster(), health={}, actual=actual) == actual


def test_a_new_weight_is_taken_over_while_health_is_unknown() -> None:
    actual = DataplaneState(services={"www": service(True, False, weight=9)})
    state = desired(cluster(), health={}, actual=actual)
    assert state == DataplaneState(services={"www": service(True, False, weight=1)})


def test_a_service_that_is_no_longer_configured_is_no_longer_desired() -> None:
    other = DataplaneState(services={"mail": service(True, True)})
    assert set(desired(cluster(), health={}, actual=other).services) == {"www"}


def test_a_report_is_found_under_the_endpoint_of_each_server() -> None:
    target = TargetHealth(virtual_server="www", real_server="10.0.1.21:80", health="up", reason="", since=1.0)
    www = cluster().virtual_servers[0]
    assert health_by_target([target]) == {target_key(www, www.real_servers[0]): target}


@given(first=HEALTHS, second=HEALTHS, before=st.none() | st.tuples(st.booleans(), st.booleans()))
def test_what_is_desired_stays_desired_once_it_is_installed(
    first: Health, second: Health, before: tuple[bool, bool] | None
) -> None:
    actual = EMPTY if before is None else DataplaneState(services={"www": service(*before)})
    state = desired(cluster(), health=health(first, second), actual=actual)
    assert desired(cluster(), health=health(first, second), actual=state) == state


@given(first=HEALTHS, before=st.booleans())
def test_only_a_server_that_is_up_or_was_serving_and_is_not_known_to_be_down_serves(
    first: Health, before: bool
) -> None:
    actual = DataplaneState(services={"www": service(before, False)})
    state = desired(cluster(), health=health(first, Health.UNKNOWN), actual=actual)
    serves = state.services["www"].destinations[0].available
    assert serves == (first is Health.UP or (first is Health.UNKNOWN and before))


SIX = """
[paths.public]
interface = "eth0"
[[virtual_servers]]
name = "www"
listen = ["[2001:db8::10]:80/tcp"]
real_servers = ["[2001:db8:1::21]:80", "[2001:db8:1::22]:80"]
"""


def test_what_nanny_reports_of_an_ipv6_real_server_is_found_again() -> None:
    asked = cluster(SIX)
    reported = {
        (asker.virtual_server, asker.endpoint): Health.UP
        for askers in questions(asked).values()
        for asker in askers
        if asker.real_server == "[2001:db8:1::21]:80"
    }
    destinations = desired(asked, health=reported, actual=EMPTY).services["www"].destinations
    assert [(str(each.address), each.available) for each in destinations] == [
        ("2001:db8:1::21", True),
        ("2001:db8:1::22", False),
    ]


def test_encapsulations_are_the_virtual_servers_where_a_real_server_has_none_of_its_own() -> None:
    first, second = cluster().virtual_servers[0].real_servers
    tunnelled = replace(
        cluster().virtual_servers[0],
        method=ForwardingMethod.TUNNEL,
        encap=Encapsulation.GUE,
        encap_port=5555,
        real_servers=(first, replace(second, encap=Encapsulation.GRE)),
    )
    state = desired(replace(cluster(), virtual_servers=(tunnelled,)), health={}, actual=EMPTY)
    assert [(each.encap, each.outer_port) for each in state.services["www"].destinations] == [
        (Encapsulation.GUE, 5555),
        (Encapsulation.GRE, 0),
    ]


WORLDS = st.tuples(
    HEALTHS, HEALTHS, st.integers(0, 3), st.dictionaries(st.just(("www", "10.0.1.21:80")), st.booleans())
)


@given(worlds=st.lists(WORLDS, min_size=1, max_size=6))
def test_memory_changes_nothing_of_what_is_desired(
    worlds: list[tuple[Health, Health, int, dict[tuple[str, str], bool]]],
) -> None:
    memory, actual = Memory(), EMPTY
    for first, second, weight, drains in worlds:
        (www,) = cluster().virtual_servers
        heavy = tuple(replace(each, weight=weight) for each in www.real_servers)
        asked = replace(cluster(), virtual_servers=(replace(www, real_servers=heavy),))
        known = health(first, second)
        plain = desired(asked, health=known, actual=actual, drains=drains)
        assert desired(asked, health=known, actual=actual, drains=drains, memory=memory) == plain
        actual = plain


def test_with_memory_what_has_not_changed_is_the_installed_service_itself() -> None:
    memory, known = Memory(), health(Health.UP, Health.UP)
    state = desired(cluster(), health=known, actual=EMPTY, memory=memory)
    installed = DataplaneState(services={"www": replace(state.services["www"])})
    again = desired(cluster(), health=known, actual=installed, memory=memory)
    assert again.services["www"] is installed.services["www"]


def test_memory_forgets_a_service_that_is_no_longer_configured() -> None:
    memory = Memory()
    desired(cluster(), health={}, actual=EMPTY, memory=memory)
    desired(replace(cluster(), virtual_servers=()), health={}, actual=EMPTY, memory=memory)
    assert memory == {}


def test_a_report_tells_every_targets_health() -> None:
    target = TargetHealth("www", "10.0.1.21:80", "down", "connection refused", 0.0)
    assert known_health([target]) == {("www", "10.0.1.21:80"): Health.DOWN}
