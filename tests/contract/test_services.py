"""Services come, change and go while connections live."""

import pytest

from shoal.dataplane.base import DataplaneState, PutService
from shoal.dataplane.packet import Action, Verdict
from shoal.dataplane.plan import plan
from shoal.errors import ConfigError
from support.flows import ACK, DNS, HTTP, HTTPS, SYN, ContractLab, real, service

PASS = Verdict(action=Action.PASS)


def same(one: DataplaneState, other: DataplaneState) -> bool:
    return plan(one, other) == ()


def test_a_fresh_dataplane_is_empty(lab: ContractLab):
    assert same(lab.installed(), DataplaneState())
    assert list(lab.dataplane.connections(limit=10)) == []
    assert lab.dataplane.counters().services == {}


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc"])
def test_what_was_put_is_read_back(lab: ContractLab, scheduler):
    www = service(
        real(21, weight=3),
        real(22, weight=0),
        real(23, available=False, weight=65535),
        listeners=(HTTP, HTTPS),
        scheduler=scheduler,
    )
    dns = service(real(23, port=53), real(21, port=53), listeners=(DNS,), name="dns", scheduler=scheduler)
    lab.put(www, dns)
    assert same(lab.installed(), DataplaneState(services={"www": www, "dns": dns}))


def test_a_replaced_service_is_read_back_as_it_is_now(lab: ContractLab):
    lab.put(service(real(21), real(22)))
    new = service(real(22, weight=5), real(24), listeners=(HTTPS, DNS), scheduler="wrr")
    lab.put(new)
    assert same(lab.installed(), DataplaneState(services={"www": new}))


def test_a_service_without_destinations_is_read_back(lab: ContractLab):
    lab.put(service())
    assert same(lab.installed(), DataplaneState(services={"www": service()}))


def test_a_removed_service_is_not_read_back(lab: ContractLab):
    lab.put(service(real(21)))
    lab.remove()
    assert same(lab.installed(), DataplaneState())
    assert lab.flow().send(SYN) == PASS


def test_removing_what_is_not_there_changes_nothing(lab: ContractLab):
    lab.put(service(real(21)))
    lab.remove("other")
    assert lab.flow().established() == real(21).endpoint


def test_putting_the_same_again_changes_nothing_for_connections(lab: ContractLab):
    lab.put(service(real(21), real(22)))
    flow = lab.flow()
    server = flow.established()
    before = lab.counted(real(21))
    lab.put(service(real(21), real(22)))
    assert lab.counted(real(21)) == before
    assert flow.reached(ACK) == server


def test_connections_of_a_removed_service_go_on(lab: ContractLab):
    lab.put(service(real(21)))
    flow = lab.flow()
    server = flow.established()
    lab.remove()
    assert flow.reached(ACK) == server
    flow.answered(server, ACK)
    assert flow.state == "established"


def test_connections_of_a_removed_real_server_go_on(lab: ContractLab):
    lab.put(service(real(21), real(22)))
    flow = lab.flow()
    server = flow.established()
    lab.put(service(real(22)))
    assert flow.reached(ACK) == server
    flow.answered(server, ACK)
    assert lab.flow(1).established() == real(22).endpoint


def test_connections_of_a_removed_listener_go_on(lab: ContractLab):
    lab.put(service(real(21), listeners=(HTTP, HTTPS)))
    flow = lab.flow(1, HTTPS)
    server = flow.established()
    lab.put(service(real(21), listeners=(HTTP,)))
    assert flow.reached(ACK) == server
    flow.answered(server, ACK)
    assert lab.flow(2, HTTPS).send(SYN) == PASS


def test_connections_of_a_quiesced_real_server_go_on(lab: ContractLab):
    lab.put(service(real(21), real(22)))
    flow = lab.flow()
    server = flow.established()
    lab.put(service(real(21, weight=0), real(22)))
    assert flow.reached(ACK) == server
    assert {lab.flow(n).established() for n in range(1, 4)} == {real(22).endpoint}
    assert lab.gauges(real(21)) == (1, 0)


def test_counts_survive_a_change_of_weight_order_and_scheduler(lab: ContractLab):
    lab.put(service(real(21), real(22)))
    for number in range(4):
        lab.flow(number).established()
    before = lab.counted(real(21))
    lab.put(service(real(22, weight=7), real(21, weight=9), scheduler="wlc"))
    assert lab.counted(real(21)) == before
    assert lab.gauges(real(22)) == (2, 0)
    assert lab.totals().connections == 4


def test_a_new_real_server_begins_with_nothing_counted(lab: ContractLab):
    lab.put(service(real(21)))
    lab.flow().established()
    lab.put(service(real(21), real(22), scheduler="lc"))
    assert lab.gauges(real(22)) == (0, 0)
    assert lab.flow(1).established() == real(22).endpoint


def test_a_listener_cannot_belong_to_two_services(lab: ContractLab):
    lab.put(service(real(21)))
    with pytest.raises(ConfigError) as caught:
        lab.put(service(real(22), listeners=(HTTPS, HTTP), name="other"))
    assert caught.value.fix
    assert same(lab.installed(), DataplaneState(services={"www": service(real(21))}))
    assert lab.flow().established() == real(21).endpoint
    assert lab.flow(1, HTTPS).send(SYN) == PASS


def test_the_steps_before_a_failed_one_are_done_and_those_after_it_are_not(lab: ContractLab):
    conflict = service(real(22), name="other")
    with pytest.raises(ConfigError):
        lab.dataplane.apply(
            [
                PutService(service=service(real(21))),
                PutService(service=conflict),
                PutService(service=service(real(23), listeners=(DNS,), name="dns")),
            ]
        )
    assert set(lab.installed().services) == {"www"}


def test_a_plan_carried_out_leaves_nothing_to_plan(lab: ContractLab):
    states = [
        DataplaneState(),
        DataplaneState(
            services={"www": service(real(21)), "tls": service(real(22), listeners=(HTTPS,), name="tls")}
        ),
        DataplaneState(
            services={"www": service(real(21), listeners=(HTTPS,)), "tls": service(real(22), name="tls")}
        ),
        DataplaneState(services={"new": service(real(23), listeners=(HTTP, DNS), name="new")}),
        DataplaneState(),
    ]
    for desired in states:
        lab.dataplane.apply(plan(desired, lab.installed()))
        assert same(desired, lab.installed())


def test_real_servers_shared_by_services_are_counted_apart(lab: ContractLab):
    lab.put(service(real(21)), service(real(21), listeners=(HTTPS,), name="tls"))
    lab.flow(1, HTTP).established()
    lab.flow(2, HTTPS).established()
    lab.flow(3, HTTPS).established()
    assert (lab.gauges(real(21), "www"), lab.gauges(real(21), "tls")) == ((1, 0), (2, 0))


def test_the_virtual_server_of_a_connection_is_told(lab: ContractLab):
    lab.put(service(real(21), name="a"), service(real(22), listeners=(HTTPS,), name="b"))
    lab.flow(1, HTTPS).established()
    (connection,) = lab.dataplane.connections(limit=10)
    assert connection.virtual_server == "b"
