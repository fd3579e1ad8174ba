"""The key mss_clamp in the configuration."""

import pytest

from shoal import config
from support.configs import one, problems, swap

CLAMPED = """
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "www"
listen = ["192.0.2.10:80/tcp"]
mss_clamp = 1360
real_servers = ["10.0.1.21:80"]
"""


@pytest.mark.parametrize(
    ("written", "meant"), [("1360", 1360), ("536", 536), ("true", True), ("false", False)]
)
def test_a_clamp_is_a_number_of_bytes_or_what_fits(written: str, meant: bool | int):
    text = swap("mss_clamp = 1360", f"mss_clamp = {written}", text=CLAMPED)
    (server,) = config.parse(text, source="f").virtual_servers
    assert server.mss_clamp is meant or server.mss_clamp == meant
    assert isinstance(server.mss_clamp, bool) == isinstance(meant, bool)


@pytest.mark.parametrize("written", ["535", "65496", "0", '"yes"'])
def test_a_segment_that_no_host_could_mean_is_refused(written: str):
    text = swap("mss_clamp = 1360", f"mss_clamp = {written}", text=CLAMPED)
    assert one(text)[0] == "f:8: virtual_servers[0].mss_clamp"


def test_a_clamp_without_tcp_is_refused():
    text = swap(
        "80/tcp",
        "80/udp",
        text=swap("real_servers", 'monitor = { type = "tcp" }\nreal_servers', text=CLAMPED),
    )
    problem = "mss_clamp is about TCP segments, and no listener is of TCP"
    assert problems(text) == [("f:8: virtual_servers[0].mss_clamp", problem, "Remove it.")]
