"""What a real server's own program opens, and what it leaves as it came: frame in, verdict and frame out."""

import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from shoal.dataplane.ebpf.abi import OPENINGS
from shoal.dataplane.ebpf.libbpf import Object, lib, run_packet
from shoal.dataplane.ebpf.tables import PerCpuCounters
from shoal.model import Encapsulation
from shoal.realserver.decapsulation import OPENING_COUNTS, PROGRAM, load
from shoal.realserver.tunnels import openings, tunnel
from support.tunnels import ETHERNET, GRE, IPIP, UDP, encapsulate, frame, ip, ipv4, udp, udp_within

GO_ON, DROP = 0xFFFFFFFF, 2  # TC_ACT_UNSPEC, TC_ACT_SHOT
HERE = {4: "10.0.1.21", 6: "2001:db8:1::21"}
ROUTER = {4: "10.0.1.11", 6: "2001:db8:1::11"}
VIP = {4: "192.0.2.10", 6: "2001:db8::10"}
CLIENT = {4: "198.51.100.7", 6: "2001:db8:2::7"}
KINDS = ("ipip", "gre", "gue", "gue1")
FAMILIES = (4, 6)
SHORTEST = {4: 34, 6: 54}  # BPF_PROG_TEST_RUN wants a whole IP header


@pytest.fixture(scope="module")
def program() -> Iterator[Object]:
    """Loaded for tunnels of every kind to both addresses, and both virtual addresses."""
    tunnels = [
        tunnel(ip_address(HERE[family]), encap, 6080) for family in FAMILIES for encap in Encapsulation
    ]
    loaded = load(openings(tunnels, [ip_address(VIP[family]) for family in FAMILIES]))
    yield loaded
    loaded.close()


@pytest.fixture
def send(program: Object) -> Callable[[bytes], tuple[int, bytes, str]]:
    """A frame's verdict, the frame afterwards, and what was counted."""
    names = sorted(OPENINGS, key=OPENINGS.__getitem__)[:-1]  # without the number of them
    handle = dict(program.maps())[OPENING_COUNTS]
    counts = PerCpuCounters(lib.bpf_map__fd(handle), "__u64")

    def once(packet: bytes) -> tuple[int, bytes, str]:
        before = [counts.read(number)[0] for number in range(len(names))]
        verdict, after = run_packet(program.program(PROGRAM), packet)
        grown = [
            name.removeprefix("SHOAL_").removeprefix("OPENING_")
            for number, name in enumerate(names)
            if counts.read(number)[0] > before[number]
        ]
        assert len(grown) <= 1
        return verdict, after, grown[0] if grown else ""

    return once


def inside(family: int, *, tos: int = 0, size: int = 32) -> bytes:
    return udp_within(CLIENT[family], VIP[family], (4711, 53), bytes(range(size)), tos=tos)


def around(kind: str, outer: int, inner: bytes, *, tos: int = 0) -> bytes:
    return frame(encapsulate(kind, ROUTER[outer], HERE[outer], inner, tos=tos))


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_packet_for_a_virtual_address_comes_out_as_it_went_in(send, kind: str, outer: int, inner: int):
    packet = inside(inner)
    assert send(around(kind, outer, packet)) == (GO_ON, frame(packet), "OPENED")


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_truncation_is_ever_opened(send, kind: str, outer: int, inner: int):
    whole = around(kind, outer, inside(inner, size=4))
    for length in range(SHORTEST[outer], len(whole)):
        verdict, after, counted = send(whole[:length])
        assert (verdict, after) == (GO_ON, whole[:length])
        assert counted in ("", "MALFORMED", "UNKNOWN")


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_inner_packet_longer_than_its_wrapping_is_left_alone(send, kind: str, outer: int, inner: int):
    """Every truncation of what is inside, with outer lengths that fit it."""
    packet = inside(inner, size=4)
    for length in range(1, len(packet)):
        wrapped = around(kind, outer, packet[:length])
        verdict, after, counted = send(wrapped)
        assert (verdict, after) == (GO_ON, wrapped)
        assert counted in ("MALFORMED", "UNKNOWN")


@pytest.mark.parametrize("kind", KINDS)
def test_padding_behind_the_packet_does_not_matter(send, kind: str):
    packet = inside(4, size=0)
    verdict, after, counted = send(around(kind, 4, packet) + bytes(9))
    assert (verdict, after, counted) == (GO_ON, frame(packet) + bytes(9), "OPENED")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_for_a_virtual_address_is_left_alone(send, kind: str, family: int):
    packet = udp_within(CLIENT[family], HERE[family], (4711, 53), b"hello")
    wrapped = around(kind, family, packet)
    assert send(wrapped) == (GO_ON, wrapped, "FOREIGN")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_for_a_tunnel_address_is_left_alone(send, kind: str, family: int):
    for destination in (ROUTER[family], VIP[family]):
        wrapped = frame(encapsulate(kind, CLIENT[family], destination, inside(family)))
        assert send(wrapped) == (GO_ON, wrapped, "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_packet_within_two_others_loses_neither(send, kind: str):
    """The one in the middle is for this host's tunnel address, which is no virtual address."""
    nested = encapsulate("ipip", ROUTER[4], HERE[4], inside(4))
    wrapped = around(kind, 4, nested)
    assert send(wrapped) == (GO_ON, wrapped, "FOREIGN")


def test_a_wrapped_packet_for_a_virtual_address_loses_one_wrapping_only(send):
    nested = encapsulate("ipip", CLIENT[4], VIP[4], inside(4))
    assert send(around("gre", 4, nested)) == (GO_ON, frame(nested), "OPENED")


@pytest.mark.parametrize("fragment", [0x2000, 0x0001, 0x2001])
def test_outer_fragments_are_left_to_the_host(send, fragment: int):
    wrapped = frame(ipv4(ROUTER[4], HERE[4], IPIP, inside(4), fragment=fragment))
    assert send(wrapped) == (GO_ON, wrapped, "UNKNOWN")


def test_inner_fragments_are_opened(send):
    packet = ipv4(CLIENT[4], VIP[4], UDP, bytes(32), fragment=0x2003)
    assert send(around("ipip", 4, packet)) == (GO_ON, frame(packet), "OPENED")


def test_inner_options_are_kept(send):
    packet = ipv4(CLIENT[4], VIP[4], UDP, udp(1, 53, b""), options=b"\x01\x01\x01\x00")
    assert send(around("ipip", 4, packet)) == (GO_ON, frame(packet), "OPENED")


def test_outer_options_are_left_to_the_host(send):
    wrapped = frame(ipv4(ROUTER[4], HERE[4], IPIP, inside(4), options=b"\x01\x01\x01\x00"))
    assert send(wrapped) == (GO_ON, wrapped, "UNKNOWN")


def test_a_wrong_outer_checksum_is_left_to_the_host(send):
    wrapped = bytearray(around("ipip", 4, inside(4)))
    wrapped[24] ^= 1
    assert send(bytes(wrapped)) == (GO_ON, bytes(wrapped), "")


@pytest.mark.parametrize("flags", [0x8000, 0x2000, 0x1000, 0x4000, 0x0001])
def test_gre_with_a_checksum_a_key_a_number_or_another_version_is_left_alone(send, flags: int):
    wrapped = frame(ip(ROUTER[4], HERE[4], GRE, struct.pack("!HH", flags, 0x0800) + inside(4)))
    assert send(wrapped) == (GO_ON, wrapped, "UNKNOWN")


@pytest.mark.parametrize("ethertype", [0x6558, 0x8847, 0x0806])
def test_gre_with_something_else_inside_is_left_alone(send, ethertype: int):
    wrapped = frame(ip(ROUTER[4], HERE[4], GRE, struct.pack("!HH", 0, ethertype) + inside(4)))
    assert send(wrapped) == (GO_ON, wrapped, "UNKNOWN")


@pytest.mark.parametrize(
    "header",
    [b"\x20\x04\x00\x00", b"\x01\x04\x00\x00", b"\x00\x04\x00\x01", b"\x00\x2f\x00\x00", b"\x80\x04\x00\x00"],
)
def test_gue_with_control_options_flags_or_something_else_inside_is_left_alone(send, header: bytes):
    wrapped = frame(ip(ROUTER[4], HERE[4], UDP, udp(49152, 6080, header + inside(4))))
    assert send(wrapped) == (GO_ON, wrapped, "UNKNOWN")


def test_gue_with_a_udp_checksum_is_left_to_the_host(send):
    """Verifying it would take the whole packet; routers send none (RFC 6935)."""
    wrapped = frame(
        ip(ROUTER[4], HERE[4], UDP, udp(49152, 6080, b"\x00\x04\x00\x00" + inside(4), check=0x1234))
    )
    assert send(wrapped) == (GO_ON, wrapped, "UNKNOWN")


def test_another_udp_port_is_none_of_its_business(send):
    wrapped = frame(encapsulate("gue", ROUTER[4], HERE[4], inside(4), port=6081))
    assert send(wrapped) == (GO_ON, wrapped, "")


def test_other_traffic_passes_uncounted(send):
    for packet in (inside(4), inside(6), udp_within(CLIENT[4], HERE[4], (53, 4711), b"hello")):
        assert send(frame(packet)) == (GO_ON, frame(packet), "")
    arp = ETHERNET + b"\x08\x06" + bytes(28)
    assert send(arp) == (GO_ON, arp, "")


# RFC 6040 4.2, figure 4: inner mark by inner and outer; None: dropped
NOT, ECT1, ECT0, CE = 0, 1, 2, 3
DECAPSULATED = {
    NOT: {NOT: NOT, ECT0: NOT, ECT1: NOT, CE: None},
    ECT0: {NOT: ECT0, ECT0: ECT0, ECT1: ECT1, CE: CE},
    ECT1: {NOT: ECT1, ECT0: ECT1, ECT1: ECT1, CE: CE},
    CE: {NOT: CE, ECT0: CE, ECT1: CE, CE: CE},
}


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
def test_congestion_on_the_way_is_passed_on(send, outer: int, inner: int):
    dscp_inside, dscp_outside = 0xB8, 0x28
    for mark, by_outer in DECAPSULATED.items():
        for outer_mark, expected in by_outer.items():
            packet = inside(inner, tos=dscp_inside | mark)
            wrapped = around("ipip", outer, packet, tos=dscp_outside | outer_mark)
            if expected is None:
                assert send(wrapped)[::2] == (DROP, "CONGESTED")
            else:
                marked = frame(inside(inner, tos=dscp_inside | expected))
                assert send(wrapped) == (GO_ON, marked, "OPENED")
