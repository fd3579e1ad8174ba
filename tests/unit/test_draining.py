"""What the operator orders of real servers: deadlines, the journal, the file, and what the dataplane should do."""

from dataclasses import replace
from pathlib import Path

import pytest

from shoal.cli.duration import seconds
from shoal.dataplane.base import DataplaneState
from shoal.errors import ConfigError, NotFoundError, PeerError
from shoal.lvsd.drain_file import DrainFile
from shoal.lvsd.draining import Drain, decode, encode, next_change, ordered, progress, target_of, wanted
from shoal.lvsd.orders import DrainOrder, UndrainOrder
from shoal.lvsd.reconcile import desired
from shoal.model import AdminState, Cluster, Health
from support.clusters import ONE_ROUTER, cluster

CLUSTER = cluster(ONE_ROUTER)
FIRST, SECOND = ("www", "10.0.1.21:80"), ("www", "10.0.1.22:80")
DRAIN = Drain(state=AdminState.DRAIN, since=100.0)
UNTIL = replace(DRAIN, deadline=160.0)
CUTTING = replace(UNTIL, cut=True)


@pytest.mark.parametrize(
    ("drain", "before", "after"),
    [
        (DRAIN, False, False),
        (UNTIL, False, False),
        (CUTTING, False, True),
        (replace(DRAIN, state=AdminState.MAINTENANCE), True, True),
    ],
)
def test_connections_are_cut_when_the_operator_said_so(drain, before, after):
    assert wanted({FIRST: drain}, 159.0) == {FIRST: before}
    assert wanted({FIRST: drain}, 160.0) == {FIRST: after}


def test_the_next_change_is_the_next_deadline():
    assert next_change({FIRST: DRAIN}, 120.0) is None
    assert next_change({FIRST: UNTIL, SECOND: replace(UNTIL, deadline=130.0)}, 120.0) == 10.0


def test_a_drain_that_is_over_is_told_once():
    after, records = progress({FIRST: UNTIL}, {FIRST: 3}, now=120.0)
    assert (after, records) == ({FIRST: UNTIL}, [])
    after, (record,) = progress(after, {FIRST: 0}, now=130.0)
    assert (record.event, record.cause, record.fields["flows"]) == ("real_server.drained", "0 flows left", 0)
    assert progress(after, {FIRST: 0}, now=170.0) == (after, [])


@pytest.mark.parametrize(("drain", "what"), [(UNTIL, "they stay open"), (CUTTING, "they are cut")])
def test_what_is_left_at_a_deadline_is_told_once_and_so_is_the_end(drain, what):
    after, (record,) = progress({FIRST: drain}, {FIRST: 3}, now=160.0)
    assert (record.event, record.cause, record.fields["flows"]) == ("real_server.drain_deadline", what, 3)
    assert progress(after, {FIRST: 2}, now=170.0) == (after, [])
    _, (record,) = progress(after, {FIRST: 0}, now=180.0)
    assert record.event == "real_server.drained"


def test_of_a_real_server_that_is_not_installed_nothing_is_told():
    assert progress({FIRST: CUTTING}, {}, now=500.0) == ({FIRST: CUTTING}, [])


def test_drains_survive_a_restart(tmp_path: Path):
    path = tmp_path / "drains.json"
    file = DrainFile(path)
    order = DrainOrder(virtual_server="www", real_server="10.0.1.21:80", deadline=60.0, cut=True)
    answer, record = file.drain(order, CLUSTER, now=100.0)
    assert (answer.state, record.event) == ("drain", "real_server.state")
    assert DrainFile(path).current == {FIRST: CUTTING}
    file.undrain(UndrainOrder(virtual_server="www", real_server="10.0.1.21:80"), CLUSTER, now=110.0)
    assert DrainFile(path).current == {}


def with_timeout(seconds: int) -> Cluster:
    (www,) = CLUSTER.virtual_servers
    return replace(CLUSTER, virtual_servers=(replace(www, drain_timeout=seconds),))


@pytest.mark.parametrize(
    ("timeout", "order", "deadline", "cut"),
    [
        (0, {}, 0.0, False),
        (60, {}, 160.0, True),
        (60, {"deadline": 30.0}, 130.0, False),
        (60, {"deadline": 0.0}, 0.0, False),
        (60, {"state": "maintenance"}, 0.0, False),
    ],
)
def test_a_drain_goes_by_the_virtual_servers_timeout_unless_told_otherwise(timeout, order, deadline, cut):
    said = DrainOrder(virtual_server="www", real_server="10.0.1.21:80", **order)
    drain = ordered(said, with_timeout(timeout), now=100.0)
    assert (drain.deadline, drain.cut) == (deadline, cut)


def test_the_timeout_reaches_the_dataplane():
    state = desired(with_timeout(60), health={}, actual=DataplaneState())
    assert state.services["www"].drain_timeout == 60


def test_a_torn_file_drains_nobody_and_is_told(tmp_path: Path):
    path = tmp_path / "drains.json"
    path.write_bytes(encode({FIRST: UNTIL})[:-9])
    file = DrainFile(path)
    assert file.current == {}
    assert "unreadable" in file.trouble
    with pytest.raises(PeerError, match="version 2, expected 1"):
        decode(encode({}).replace(b'"version": 1', b'"version": 2'))


@pytest.mark.parametrize(
    ("virtual", "real", "problem"),
    [
        ("ftp", "10.0.1.21:80", "there is no virtual server 'ftp'"),
        ("www", "10.0.1.99:80", "www has no real server '10.0.1.99:80'"),
    ],
)
def test_an_unknown_real_server_is_refused(virtual, real, problem):
    with pytest.raises(NotFoundError, match=problem):
        target_of(CLUSTER, virtual, real)


def test_a_draining_real_server_gets_no_share_and_keeps_its_connections():
    health = dict.fromkeys((FIRST, SECOND), Health.UP)
    state = desired(CLUSTER, health=health, actual=DataplaneState(), drains={FIRST: False})
    first, second = state.services["www"].destinations
    assert (first.weight, first.draining, first.cut, first.available) == (0, True, False, True)
    assert (second.draining, second.cut) == (False, False)
    assert second.weight > 0
    state = desired(CLUSTER, health=health, actual=DataplaneState(), drains={FIRST: True})
    assert state.services["www"].destinations[0].cut


@pytest.mark.parametrize(
    ("admin", "flags"), [("in", (False, False)), ("drain", (True, False)), ("maintenance", (True, True))]
)
def test_the_configuration_may_say_it_too(admin, flags):
    (www,) = CLUSTER.virtual_servers
    first = replace(www.real_servers[0], state=AdminState(admin))
    changed = replace(CLUSTER, virtual_servers=(replace(www, real_servers=(first, *www.real_servers[1:])),))
    state = desired(changed, health={}, actual=DataplaneState())
    found = state.services["www"].destinations[0]
    assert (found.draining, found.cut) == flags


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("none", 0), ("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400)],
)
def test_durations_are_read(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["5 m", "soon", "-1s", "0m", "1w"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ConfigError, match="is not a duration"):
        seconds(text)
