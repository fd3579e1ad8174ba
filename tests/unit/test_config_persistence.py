"""Persistence and thresholds in the configuration: what they mean, and what cannot be meant."""

import pytest

from shoal import config
from shoal.model import Leaving, Persistence
from support.configs import problems, swap

STICKY = """
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
real_servers = [
  "10.0.1.21:80",
  { address = "10.0.1.22", port = 80, upper_threshold = 100, lower_threshold = 60 },
]
[virtual_servers.persistence]
timeout = 600
ipv4_mask = "255.255.255.0"
"""


def test_a_virtual_server_has_no_persistence_unless_asked():
    text = STICKY[: STICKY.index("[virtual_servers.persistence]")]
    assert config.parse(text, source="f").virtual_servers[0].persistence is None


@pytest.mark.parametrize("mask", ['"255.255.255.0"', "24"])
def test_the_mask_of_ipv4_is_a_length_or_dotted(mask):
    text = swap('"255.255.255.0"', mask, text=STICKY)
    assert config.parse(text, source="f").virtual_servers[0].persistence == Persistence(
        timeout=600, ipv4_prefix=24
    )


def test_every_key_of_persistence_counts():
    further = "ipv6_prefix = 64\nexpire_quiescent = true\nexpire_removed = false\n"
    changed = config.parse(STICKY + further, source="f")
    assert changed.virtual_servers[0].persistence == Persistence(
        timeout=600, ipv4_prefix=24, ipv6_prefix=64, expire_quiescent=True, expire_removed=False
    )
    assert changed.digest != config.parse(STICKY, source="f").digest


@pytest.mark.parametrize("mask", ["0", "33", '"255.0.255.0"', '"0.0.0.255"', '"wide"', '"0.0.0.0"', '""'])
def test_a_mask_that_is_none_is_refused(mask):
    ((where, problem, fix),) = problems(swap('"255.255.255.0"', mask, text=STICKY))
    assert where == "f:14: virtual_servers[0].persistence.ipv4_mask"
    assert "is not a prefix length or an IPv4 mask" in problem
    assert fix == 'Use 1 to 32, or a mask such as "255.255.255.0".'


def test_thresholds_are_those_of_one_real_server():
    first, second = config.parse(STICKY, source="f").virtual_servers[0].real_servers
    assert (first.upper_threshold, first.lower_threshold) == (0, 0)
    assert (second.upper_threshold, second.lower_threshold) == (100, 60)


@pytest.mark.parametrize(
    ("keys", "problem", "fix"),
    [
        (
            "upper_threshold = 50, lower_threshold = 60",
            "60 is above upper_threshold, 50",
            "Use at most 50.",
        ),
        ("lower_threshold = 60", "there is no upper_threshold", "Add one, or remove lower_threshold."),
    ],
)
def test_a_lower_threshold_above_the_upper_one_is_refused(keys, problem, fix):
    text = swap("upper_threshold = 100, lower_threshold = 60", keys, text=STICKY)
    where = "f:10: virtual_servers[0].real_servers[1].lower_threshold"
    assert problems(text) == [(where, problem, fix)]


def test_connections_are_kept_unless_the_file_says_otherwise():
    (kept,) = config.parse(STICKY, source="f").virtual_servers
    assert (kept.on_removal, kept.on_down) == (Leaving.KEEP, Leaving.KEEP)
    text = swap('name = "www"', 'name = "www"\non_removal = "reset"\non_down = "reset"', text=STICKY)
    (cut,) = config.parse(text, source="f").virtual_servers
    assert (cut.on_removal, cut.on_down) == (Leaving.RESET, Leaving.RESET)


def test_a_drain_may_have_an_end():
    text = swap('name = "www"', 'name = "www"\ndrain_timeout = 600', text=STICKY)
    found = [config.parse(each, source="f").virtual_servers[0].drain_timeout for each in (STICKY, text)]
    assert found == [0, 600]


def test_persistence_that_is_no_table_is_one_error():
    text = STICKY[: STICKY.index("[virtual_servers.persistence]")] + "persistence = 300\n"
    ((_, problem, _),) = problems(text)
    assert problem == "a whole number where a table belongs"
