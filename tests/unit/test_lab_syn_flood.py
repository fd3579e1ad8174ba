"""The frames of the SYN flood, and how its drill counts."""

import random
import struct
from collections import Counter
from ipaddress import ip_address, ip_network

import pytest

from shoal.errors import ConfigError
from shoal.lab import drills
from shoal.lab.syn_flood import SynFlood, recovery
from shoal.lab.syn_frames import SynFrames, Target, checksum

COUNT = 64
VIPS = {4: "192.0.2.10", 6: "2001:db8::10"}
NETWORKS = {4: ip_network("198.18.0.0/15"), 6: ip_network("2001:2::/48")}


def flood(version: int) -> SynFrames:
    target = Target(
        source_mac=b"\x02" * 6, destination_mac=b"\x04" * 6, address=ip_address(VIPS[version]), port=80
    )
    return SynFrames(target, count=COUNT, chance=random.Random(1))


def frames(flood: SynFrames) -> list[bytes]:
    return [bytes(flood.block[i : i + flood.size]) for i in range(0, len(flood.block), flood.size)]


def parts(frame: bytes, version: int) -> tuple[bytes, bytes, bytes, bytes]:
    """IP header, source, destination and TCP segment."""
    end, source = (34, 26) if version == 4 else (54, 22)
    size = 4 if version == 4 else 16
    return frame[14:end], frame[source : source + size], frame[source + size : source + 2 * size], frame[end:]


def turned(version: int, turns: int) -> SynFrames:
    made = flood(version)
    for _ in range(turns):
        made.turn()
    return made


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("turns", [0, 1, 255, 256, 1000])
def test_every_frame_of_every_turn_has_right_checksums(version: int, turns: int):
    for frame in frames(turned(version, turns)):
        header, source, destination, segment = parts(frame, version)
        if version == 4:
            assert checksum(header) == 0
        assert checksum(source + destination + struct.pack("!II", len(segment), 6) + segment) == 0


@pytest.mark.parametrize("version", [4, 6])
def test_every_frame_is_a_syn_to_the_listener_from_the_network_for_measurements(version: int):
    for frame in frames(turned(version, 300)):
        assert frame[:12] == b"\x04" * 6 + b"\x02" * 6
        _, source, destination, segment = parts(frame, version)
        assert ip_address(source) in NETWORKS[version]
        assert ip_address(destination) == ip_address(VIPS[version])
        assert struct.unpack_from("!H", segment, 2) == (80,)
        assert (segment[12] >> 4, segment[13], len(segment)) == (5, 0x02, 20)


@pytest.mark.parametrize("version", [4, 6])
def test_sources_do_not_come_again_in_later_turns(version: int):
    made, seen = flood(version), Counter[bytes]()
    for _ in range(520):
        sources = {
            source + segment[:2] for _, source, _, segment in (parts(f, version) for f in frames(made))
        }
        seen.update(sources)
        made.turn()
    assert max(seen.values()) == 1


def request(sent: float, took: float, *, error: str = "") -> tuple[float, float, str, str]:
    return sent, took, "" if error else "real server rs1", error


def test_recovery_is_the_first_answer_after_the_flood():
    assert recovery([request(9.0, 0.1), request(10.01, 0.02)], since=10.0) == 30.0


def test_recovery_waits_for_the_last_request_that_failed():
    requests = [
        request(9.5, 1.0, error="no answer"),
        request(10.5, 0.1),
        request(10.7, 1.0, error="no answer"),
        request(11.8, 0.2),
    ]
    assert recovery(requests, since=10.0) == 2000.0


def test_what_failed_before_the_end_of_the_flood_does_not_count():
    assert recovery([request(8.0, 1.0, error="no answer"), request(10.0, 0.01)], since=10.0) == 10.0


def test_a_recovery_that_was_not_seen_breaks_the_promise():
    assert recovery([request(9.5, 1.0, error="no answer")], since=10.0) > 5000
    assert recovery([], since=10.0) > 5000


def test_only_the_flood_takes_a_share_and_a_time():
    assert isinstance(drills.find("syn-flood", percent=150, seconds=2.0), SynFlood)
    with pytest.raises(ConfigError, match="neither --percent nor --seconds"):
        drills.find("kill-real", percent=150)


def test_the_table_of_all_drills_has_a_flood_below_at_and_above_the_capacity():
    names = [drill.name for drill in drills.every()]
    assert names.count("syn-flood") == 3
    assert set(names) == set(drills.DRILLS)
