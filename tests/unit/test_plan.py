"""A plan is the fewest steps from one dataplane state to another."""

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from shoal.dataplane.base import DataplaneState, Destination, PutService, RemoveService, Service
from shoal.dataplane.fake import FakeDataplane
from shoal.dataplane.plan import plan
from shoal.model import Encapsulation, ForwardingMethod, Leaving, Listener, Persistence, Protocol


def listener(number: int) -> Listener:
    return Listener(address=IPv4Address("192.0.2.10"), port=80 + number, protocol=Protocol.TCP)


def destination(last: int, *, weight: int = 1, available: bool = True) -> Destination:
    return Destination(address=IPv4Address(f"10.0.1.{last}"), port=80, weight=weight, available=available)


WWW = Service(
    name="www",
    listeners=(listener(0),),
    scheduler="wlc",
    method=ForwardingMethod.NAT,
    destinations=(destination(21), destination(22)),
)
API = replace(WWW, name="api", listeners=(listener(1),))


def state(*services: Service) -> DataplaneState:
    return DataplaneState(services={service.name: service for service in services})


def changes(new: Service, old: Service) -> tuple[str, ...]:
    (step,) = plan(state(new), state(old))
    assert isinstance(step, PutService)
    assert step.service == new
    return step.changes


def test_nothing_is_planned_when_nothing_differs():
    assert plan(state(WWW, API), state(API, WWW)) == ()


def test_the_order_of_listeners_is_no_difference():
    two = replace(WWW, listeners=(listener(0), listener(1)))
    assert plan(state(two), state(replace(two, listeners=two.listeners[::-1]))) == ()


def test_a_new_service_is_put_with_all_it_has():
    assert plan(state(WWW), state()) == (
        PutService(
            service=WWW,
            changes=("added listener 192.0.2.10:80/tcp", "added 10.0.1.21:80", "added 10.0.1.22:80"),
        ),
    )


def test_many_real_servers_of_a_new_service_are_counted():
    eight = tuple(destination(last) for last in range(21, 29))
    (step,) = plan(state(replace(WWW, destinations=eight)), state())
    assert step.changes[1:] == tuple(f"added 10.0.1.{last}:80" for last in range(21, 29))
    (step,) = plan(state(replace(WWW, destinations=(*eight, destination(29)))), state())
    assert step.changes[1:] == ("added 9 real servers",)
    (step,) = plan(state(replace(WWW, destinations=(*eight, destination(29, available=False)))), state())
    assert step.changes[1:] == ("added 9 real servers, 1 of them down",)


def test_an_unwanted_service_is_removed():
    assert plan(state(), state(WWW)) == (RemoveService(name="www"),)


def test_a_changed_weight_is_named():
    new = replace(WWW, destinations=(destination(21, weight=3), destination(22)))
    assert changes(new, WWW) == ("weight of 10.0.1.21:80 1 -> 3",)


def test_real_servers_that_come_and_go_are_named():
    new = replace(WWW, destinations=(destination(21), destination(23), destination(24, available=False)))
    assert changes(new, WWW) == ("added 10.0.1.23:80", "added 10.0.1.24:80, down", "removed 10.0.1.22:80")


def test_health_is_named():
    down = replace(WWW, destinations=(destination(21), destination(22, available=False)))
    assert changes(down, WWW) == ("10.0.1.22:80 down",)
    assert changes(WWW, down) == ("10.0.1.22:80 up",)


def test_a_changed_method_is_named_for_the_real_servers_whose_it_is():
    direct = replace(WWW.destinations[0], method=ForwardingMethod.DR)
    new = replace(WWW, destinations=(direct, *WWW.destinations[1:]))
    assert changes(new, WWW) == (f"method of {direct.address}:{direct.port} nat -> dr",)


def test_a_method_that_is_only_spelled_out_is_no_difference():
    spelled = tuple(replace(each, method=ForwardingMethod.NAT) for each in WWW.destinations)
    assert plan(state(replace(WWW, destinations=spelled)), state(WWW)) == ()


def test_a_changed_order_of_real_servers_is_named():
    assert changes(replace(WWW, destinations=WWW.destinations[::-1]), WWW) == ("order of the real servers",)


def test_scheduler_flags_are_named_and_their_order_means_nothing():
    one, other = (replace(WWW, scheduler_flags=flags) for flags in (("a", "b"), ("b", "a")))
    assert changes(one, WWW) == ("scheduler flags none -> a b",)
    assert plan(state(one), state(other)) == ()


def test_scheduler_and_listeners_are_named():
    assert changes(replace(WWW, scheduler="rr", listeners=(listener(1),)), WWW) == (
        "added listener 192.0.2.10:81/tcp",
        "removed listener 192.0.2.10:80/tcp",
        "scheduler wlc -> rr",
    )


def test_a_service_gives_up_its_listener_before_its_successor_takes_it():
    steps = plan(state(replace(WWW, name="aaa"), API), state(WWW))
    assert [(type(step), getattr(step, "name", "")) for step in steps] == [
        (RemoveService, "www"),
        (PutService, ""),
        (PutService, ""),
    ]


def test_a_service_that_gives_a_listener_to_another_is_put_before_it():
    api = replace(API, listeners=(listener(1), listener(0)))
    www = replace(WWW, listeners=(listener(2),))
    assert [step.service for step in plan(state(api, www), state(API, WWW))] == [www, api]


def test_services_that_swap_listeners_need_one_more_step():
    api, www = replace(API, listeners=WWW.listeners), replace(WWW, listeners=API.listeners)
    assert [step.service for step in plan(state(api, www), state(API, WWW))] == [
        replace(API, listeners=()),
        www,
        api,
    ]


def test_a_service_in_nobodys_way_is_removed_last():
    assert [type(step) for step in plan(state(WWW), state(API))] == [PutService, RemoveService]


DESTINATIONS = st.lists(
    st.builds(destination, st.integers(1, 5), weight=st.integers(0, 3), available=st.booleans()),
    max_size=4,
    unique_by=lambda each: each.endpoint,
).map(tuple)


@st.composite
def states(draw: st.DrawFn) -> DataplaneState:
    """A few services that share eight listeners without conflict."""
    owners = draw(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=8, max_size=8))
    return state(
        *(
            Service(
                name=name,
                listeners=tuple(listener(number) for number, owner in enumerate(owners) if owner == name),
                scheduler=draw(st.sampled_from(["rr", "wlc"])),
                method=ForwardingMethod.NAT,
                destinations=draw(DESTINATIONS),
            )
            for name in sorted(set(owners) - {""})
        )
    )


@given(states(), states())
def test_applying_a_plan_gives_the_desired_state_without_a_conflict(desired, actual):
    dataplane = FakeDataplane()
    dataplane.apply(plan(actual, DataplaneState()))
    dataplane.apply(plan(desired, actual))
    assert dataplane.actual() == desired


@given(states(), states())
def test_a_plan_is_deterministic_and_touches_only_what_differs(desired, actual):
    steps = plan(desired, actual)
    assert plan(desired, actual) == steps
    touched = {step.name if isinstance(step, RemoveService) else step.service.name for step in steps}
    names = desired.services.keys() | actual.services.keys()
    assert touched == {name for name in names if desired.services.get(name) != actual.services.get(name)}
    assert all(step.changes for step in steps if isinstance(step, PutService))


@given(states())
def test_there_is_nothing_to_do_where_nothing_differs(same):
    assert plan(same, same) == ()


def test_an_encapsulation_is_a_difference_only_where_there_is_a_tunnel():
    gue = replace(destination(21), encap=Encapsulation.GUE, encap_port=5555)
    by_nat = replace(WWW, destinations=(gue, destination(22)))
    assert plan(state(by_nat), state(WWW)) == ()
    by_tunnel = replace(WWW, method=ForwardingMethod.TUNNEL)
    assert changes(replace(by_tunnel, destinations=by_nat.destinations), by_tunnel) == (
        "encapsulation of 10.0.1.21:80 ipip -> gue port 5555",
    )


def test_the_port_of_gue_is_no_difference_for_other_encapsulations():
    by_tunnel = replace(WWW, method=ForwardingMethod.TUNNEL)
    ported = replace(
        by_tunnel, destinations=tuple(replace(each, encap_port=5555) for each in WWW.destinations)
    )
    assert plan(state(ported), state(by_tunnel)) == ()


def test_changes_of_persistence_are_told():
    sticky = replace(WWW, persistence=Persistence(timeout=60, ipv4_prefix=24))
    assert changes(sticky, WWW) == ("persistence none -> 60 s for each /24 or IPv6 /128",)
    fickle = replace(WWW, persistence=Persistence(expire_quiescent=True, expire_removed=False))
    assert changes(fickle, sticky) == (
        "persistence 60 s for each /24 or IPv6 /128 -> "
        "300 s for each /32 or IPv6 /128 but of quiesced and of removed",
    )


def test_changes_of_thresholds_are_told():
    limited = replace(WWW, destinations=(replace(destination(21), upper_threshold=9), destination(22)))
    assert changes(limited, WWW) == ("thresholds of 10.0.1.21:80 none -> 9",)
    lower = replace(limited.destinations[0], lower_threshold=4)
    assert changes(replace(limited, destinations=(lower, destination(22))), limited) == (
        "thresholds of 10.0.1.21:80 9 -> 9, then 4",
    )


def test_draining_and_cuts_are_told():
    draining = replace(destination(21), draining=True, weight=0)
    drained = replace(WWW, destinations=(draining, destination(22)))
    assert changes(drained, WWW) == ("weight of 10.0.1.21:80 1 -> 0", "10.0.1.21:80 draining")
    cut = replace(WWW, destinations=(replace(draining, cut=True), destination(22)))
    assert changes(cut, drained) == ("connections of 10.0.1.21:80 cut",)
    assert changes(WWW, drained) == ("weight of 10.0.1.21:80 0 -> 1", "10.0.1.21:80 no longer draining")


def test_changes_of_what_becomes_of_connections_are_told():
    changed = replace(WWW, on_removal=Leaving.RESET, on_down=Leaving.RESET, drain_timeout=600)
    assert changes(changed, WWW) == (
        "connections of removed real servers keep -> reset",
        "connections of real servers that are down keep -> reset",
        "drain_timeout none -> 600 s",
    )
