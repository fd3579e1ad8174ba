"""Errors of what is too many, too long, or not a scheduler's."""

import pytest

from shoal import config
from support.configs import SMALL, one, problems, swap


def test_more_real_servers_than_the_dataplane_holds_are_an_error():
    servers = ", ".join(f'"10.9.{n // 250}.{n % 250 + 1}:80"' for n in range(1025))
    assert one(swap('"10.0.1.21:80", "10.0.1.22:80"', servers, text=SMALL)) == (
        "f:7: virtual_servers[0].real_servers",
        "1025 real servers are more than 1024",
    )


def test_a_name_is_as_long_as_the_dataplane_keeps():
    config.parse(swap('name = "www"', f'name = "{"w" * 55}"', text=SMALL), source="f")
    assert one(swap('name = "www"', f'name = "{"w" * 56}"', text=SMALL))[1] == f"'{'w' * 56}' is not a name"


@pytest.mark.parametrize(
    ("scheduler", "flags", "problem", "fix"),
    [
        (
            "sh",
            '"sh-port", "mh-port"',
            "the scheduler sh has no flag 'mh-port'",
            "Use sh-fallback or sh-port.",
        ),
        ("mh", '"mh-port", "mh-port"', "mh-port is given twice", "Remove one of the two."),
        (
            "rr",
            '"x", "sh-port"',
            "the scheduler rr has no flag 'sh-port'",
            "Remove it; only sh and mh have flags.",
        ),
    ],
)
def test_the_second_scheduler_flag_is_wrong(scheduler, flags, problem, fix):
    text = swap('scheduler = "wrr"', f'scheduler = "{scheduler}"\nscheduler_flags = [{flags}]')
    assert problems(text)[-1] == ("f:36: virtual_servers[0].scheduler_flags[1]", problem, fix)


def test_a_wrong_scheduler_is_the_only_error_though_it_has_flags():
    text = swap('scheduler = "wrr"', 'scheduler = "maglev"\nscheduler_flags = ["mh-port"]')
    assert one(text)[1] == "'maglev' is not a known scheduler"
