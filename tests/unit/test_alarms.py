"""What lasts is an alarm; what changes is written once."""

from shoal.lvsd.alarms import OVERLOAD, Alarms


def test_a_failure_is_new_once_and_stands_until_all_is_well():
    alarms = Alarms()
    assert alarms.failed("apply", "no room")
    assert not alarms.failed("apply", "no room")
    assert alarms.standing() == ("dataplane: no room",)
    assert not alarms.failed("apply", "")
    assert alarms.standing() == ()
    assert alarms.failed("apply", "no room")


def test_another_failure_is_new():
    alarms = Alarms()
    assert alarms.failed("apply", "no room")
    assert alarms.failed("apply", "no rights")


def test_a_full_table_is_written_when_it_begins_and_when_it_ends():
    alarms = Alarms()
    assert alarms.overload(False) is None
    assert alarms.overload(True) == (
        "table.overloaded",
        "the connection table is full: new connections are balanced without an entry",
    )
    assert alarms.overload(True) is None
    assert alarms.standing() == (OVERLOAD,)
    assert alarms.overload(False) == ("table.recovered", "every new connection finds a place again")
    assert alarms.standing() == ()
