"""ICMP errors that are cut, mutated or lie about their lengths: never a rewrite of what is not ours, never a repair."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.packet import IcmpError, Packet, Quote, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from support.packet_bench import ANSWER, DROP, HOLD, PASS, SEND, PacketBench
from support.packets import DESTINATION_MAC, SOURCE_MAC, checksum, decode_packet, encode_packet

VIP = IPv4Address("192.0.2.10")
REAL = IPv4Address("10.0.1.21")
CLIENT = IPv4Address("198.51.100.7")
HOP = IPv4Address("203.0.113.1")
SYN = Packet(
    source=CLIENT, source_port=40_000, destination=VIP, destination_port=80, flags=TcpFlags.SYN, ttl=60
)
REPLY = Packet(source=VIP, source_port=80, destination=CLIENT, destination_port=40_000, payload=bytes(9))
ERROR = Packet(
    source=HOP,
    destination=VIP,
    protocol=None,
    quote=Quote(error=IcmpError.TOO_BIG, packet=REPLY),
)
WEB = Service(
    name="www",
    listeners=(Listener(address=VIP, port=80, protocol=Protocol.TCP),),
    scheduler="rr",
    method=ForwardingMethod.NAT,
    destinations=(Destination(address=REAL, port=8080, weight=1),),
)


@pytest.fixture
def served(bench: PacketBench, family: int) -> tuple[PacketBench, bytes]:
    """One connection, and an error about one of its replies."""
    assert family == bench.family
    bench.put(WEB)
    assert bench.send(bench.frame(SYN))[0] == SEND
    return bench, bench.frame(ERROR)


def test_every_truncation_is_left_to_the_host_untouched(served: tuple[PacketBench, bytes]):
    bench, whole = served
    for size in range(bench.shortest_frame, len(whole)):
        assert bench.send(whole[:size]) == (PASS, whole[:size], None), size


def test_other_types_and_fragments_of_errors_are_left_to_the_host(bench: PacketBench):
    bench.dataplane.apply([PutService(service=WEB)])
    assert bench.send(encode_packet(SYN))[0] == SEND
    whole = encode_packet(ERROR)
    assert bench.send(whole)[0] == SEND
    for position, value in (
        (20, 0x20),
        (21, 0x08),
        (34, 0),
        (34, 5),
        (34, 8),
        (34, 13),
        (42, 0x65),
        (42, 0x44),
    ):
        changed = whole[:position] + bytes([value]) + whole[position + 1 :]
        assert bench.send(changed) == (PASS, changed, None), position


@pytest.mark.parametrize("outer", [0, 4, 40])
@pytest.mark.parametrize("inner", [0, 4, 40])
def test_ip_options_outside_and_inside_are_carried_along(bench: PacketBench, outer: int, inner: int):
    bench.dataplane.apply([PutService(service=WEB)])
    assert bench.send(encode_packet(SYN))[0] == SEND
    frame = _with_options(encode_packet(ERROR), outer, inner)
    verdict, after, _ = bench.send(frame)
    assert verdict == SEND
    inside = replace(REPLY, source=REAL, source_port=8080)
    quote = Quote(error=IcmpError.TOO_BIG, packet=inside)
    expected = encode_packet(
        replace(ERROR, destination=REAL, ttl=63, quote=quote),
        source_mac=after[6:12],
        destination_mac=after[:6],
    )
    assert after == _with_options(expected, outer, inner)


def _with_options(frame: bytes, outer: int, inner: int) -> bytes:
    """The frame of an IPv4 error with so many bytes of options in both headers, its checksums made anew."""
    quoted = _lengthened(frame[42:62], frame[62:], inner)
    icmp = bytearray(frame[34:42] + quoted)
    icmp[2:4] = bytes(2)
    icmp[2:4] = checksum(bytes(icmp)).to_bytes(2, "big")
    return frame[:14] + _lengthened(frame[14:34], bytes(icmp), outer)


def _lengthened(header: bytes, behind: bytes, options: int) -> bytes:
    whole = bytearray(header + bytes([1]) * options)
    whole[0] = 0x40 | (5 + options // 4)
    whole[2:4] = (len(whole) + len(behind)).to_bytes(2, "big")
    whole[10:12] = bytes(2)
    whole[10:12] = checksum(bytes(whole)).to_bytes(2, "big")
    return bytes(whole) + behind


mutations = st.lists(st.tuples(st.integers(12, 120), st.integers(0, 255)), min_size=1, max_size=6)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=mutations, cut=st.integers(0, 60))
def test_no_mutation_changes_more_than_addresses_ports_and_checksums(
    served: tuple[PacketBench, bytes], changes: list[tuple[int, int]], cut: int
):
    bench, whole = served
    frame = bytearray(whole)
    for position, value in changes:
        if position < len(frame):
            frame[position] = value
    frame = frame[: max(bench.shortest_frame, len(frame) - cut)]
    verdict, after, reason = bench.send(bytes(frame))
    assert len(after) == len(frame) or verdict == ANSWER
    if verdict in (PASS, HOLD):
        assert after == bytes(frame)
    elif verdict == SEND and frame[23 if bench.family == 4 else 20] == (1 if bench.family == 4 else 58):
        assert _rightness(after) == _rightness(bytes(frame))
    else:
        assert verdict == SEND or reason is not None


def _rightness(frame: bytes) -> tuple[bool, bool] | None:
    """Whether the checksums are right, as far as the frame can be read as this suite writes them."""
    try:
        found = decode_packet(DESTINATION_MAC + SOURCE_MAC + frame[12:])
    except (ValueError, KeyError, IndexError):
        return None
    return found.ip_checksum_ok, found.l4_checksum_ok


def test_a_mutation_was_seen_to_be_dropped_or_sent_by_the_same_measure(served: tuple[PacketBench, bytes]):
    bench, whole = served
    verdict, after, _ = bench.send(whole)
    assert (verdict, _rightness(after)) == (SEND, (True, True))
    position = 22 if bench.family == 4 else 21
    last_hop = whole[:position] + b"\x01" + whole[position + 1 :]
    assert bench.send(last_hop)[0] == DROP
