"""What the drills promise."""

import pytest

from shoal.lab.drills import DRILLS
from shoal.lab.promises import PROMISES, broken_by

GOOD = {
    "outage_ms": {"median": 240.0, "max": 290.0},
    "two_owners_ms": {"median": 0.0, "max": 0.0},
    "probes_lost": 0,
    "connections_broken": 0,
    "lost_after_detection": 0,
    "requests_failed": 0,
    "programs_left": 0,
    "places_emptied": 0,
    "changes_refused": 0,
    "connections_reset": 0,
    "peers_lost": 0,
    "take_overs": 0,
    "health_failures": 0,
    "recovery_ms": 20.0,
}


def test_every_drill_promises_something():
    assert set(PROMISES) == set(DRILLS)


def test_a_good_power_loss_keeps_its_promises():
    assert broken_by(GOOD | {"drill": "kill-active"}) == ()


@pytest.mark.parametrize(
    ("drill", "figures", "broken"),
    [
        ("kill-active", {"outage_ms": {"median": 400.0, "max": 600.0}}, 2),
        ("kill-active", {"outage_ms": {"median": 399.0, "max": 600.0}}, 1),
        ("stop-active", {"outage_ms": {"median": 1.0, "max": 50.1}}, 1),
        ("cut-public", {"outage_ms": {"median": 1.0, "max": 50.1}}, 1),
        ("cut-private", {"outage_ms": {"median": 1.0, "max": 50.1}}, 1),
        ("kill-lvsd", {"probes_lost": 1}, 1),
        ("kill-lvsd", {"connections_broken": 1}, 1),
        ("crash-daemons", {"probes_lost": 1}, 1),
        ("crash-daemons", {"two_owners_ms": {"median": 0.0, "max": 301.0}}, 1),
        ("upgrade", {"probes_lost": 1, "connections_broken": 1, "requests_failed": 1}, 3),
        ("upgrade", {"programs_left": 1, "places_emptied": 1}, 2),
        ("reload", {"probes_lost": 1, "connections_broken": 1, "requests_failed": 1}, 3),
        ("syn-flood", {"probes_lost": 9, "connections_broken": 9, "requests_failed": 9}, 0),
        ("syn-flood", {"connections_reset": 1, "peers_lost": 1, "take_overs": 1, "health_failures": 1}, 4),
        ("syn-flood", {"recovery_ms": 5000.1}, 1),
        ("reload", {"changes_refused": 1}, 1),
        ("kill-real", {"lost_after_detection": 1}, 1),
    ],
)
def test_a_figure_beyond_its_limit_breaks_the_promise(drill: str, figures: dict[str, object], broken: int):
    assert len(broken_by(GOOD | figures | {"drill": drill})) == broken
