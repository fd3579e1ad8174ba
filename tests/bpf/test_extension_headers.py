"""IPv6 extension headers where the packet table has no rows: local ends, resets, MSS, unfinished checksums."""

import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest
from packet_table import sctp
from packet_table.net import IPV6

from shoal.dataplane.base import Destination, Drop, PutService, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Leaving, Listener, LocalPool, Protocol
from shoal.model.sctp_states import SctpChunk
from support.extension_headers import Extension, extended, fragments, hop_by_hop, options, routing
from support.packet_bench import ANSWER, HOLD, PASS, SEND, PacketBench
from support.packets import TCP, checksum, decode_packet, encode_packet

VIP, HERE = ip_address("2001:db8::10"), ip_address("::1")
CLIENT, REAL, LOCAL = (ip_address(f"2001:db8:{net}") for net in ("9::7", "1::21", "1::11"))
ACK, FIN, PSH, RST, SYN = (TcpFlags(bit) for bit in (0x10, 0x01, 0x08, 0x04, 0x02))
PORT = 20_000
CHAIN = (hop_by_hop(), routing(), options(16))
LONGEST = (hop_by_hop(128), options(128))
CHAINS = pytest.mark.parametrize("chain", [CHAIN, LONGEST], ids=["three", "256-bytes"])


def serve(bench: PacketBench, method: ForwardingMethod, **fields: object) -> Service:
    """TCP and UDP, port 80."""
    real = HERE if method is ForwardingMethod.LOCAL else REAL
    service = Service(
        name="www",
        listeners=tuple(
            Listener(address=VIP, port=80, protocol=each) for each in (Protocol.TCP, Protocol.UDP)
        ),
        scheduler="rr",
        method=method,
        destinations=(Destination(address=real, port=80, weight=1),),
        **fields,
    )
    bench.dataplane.apply([PutService(service=service)])
    return service


def request(flags: TcpFlags = TcpFlags.NONE, **fields: object) -> Packet:
    packet = Packet(
        source=CLIENT,
        source_port=40_000,
        destination=VIP,
        destination_port=80,
        protocol=Protocol.TCP if flags else Protocol.UDP,
        flags=flags,
    )
    return replace(packet, **fields)


def headers_of(frame: bytes) -> bytes:
    """The extension headers of a frame, whose checksums must be right."""
    decoded = decode_packet(frame)
    assert decoded.l4_checksum_ok
    return decoded.options


@CHAINS
@pytest.mark.parametrize("flags", [SYN, TcpFlags.NONE], ids=["tcp", "udp"])
def test_fullnat_changes_both_ends_of_requests_and_replies(
    bench: PacketBench, chain: tuple[Extension, ...], flags: TcpFlags
):
    bench.dataplane.use_local(LocalPool(addresses=(LOCAL,), ports=range(PORT, PORT + 1)))
    serve(bench, ForwardingMethod.FULLNAT)
    expected = request(flags, source=LOCAL, source_port=PORT, destination=REAL, ttl=63, payload=b"one")
    for _ in range(2):  # as it begins, and as it goes on
        came = extended(encode_packet(request(flags, payload=b"one")), *chain)
        verdict, after, _ = bench.send(came)
        assert verdict == SEND
        assert decode_packet(after).packet == expected
        assert headers_of(after) == headers_of(came)
    answer = request(
        flags and SYN | ACK,
        source=REAL,
        source_port=80,
        destination=LOCAL,
        destination_port=PORT,
    )
    verdict, after, _ = bench.send(extended(encode_packet(answer), *chain))
    assert verdict == SEND
    assert decode_packet(after).packet == replace(
        answer, source=VIP, destination=CLIENT, destination_port=40_000, ttl=63
    )
    assert headers_of(after) == headers_of(came)


def test_fullnat_sends_fragments_amid_headers_after_their_first(bench: PacketBench):
    bench.dataplane.use_local(LocalPool(addresses=(LOCAL,), ports=range(PORT, PORT + 1)))
    serve(bench, ForwardingMethod.FULLNAT)
    layout = {"number": 9, "in_front": (hop_by_hop(),), "behind": (options(16),)}
    came = fragments(encode_packet(request(payload=bytes(150))), 64, **layout)
    inside = request(payload=bytes(150), source=LOCAL, source_port=PORT, destination=REAL, ttl=63)
    for frame, expected in zip(came, fragments(encode_packet(inside), 64, **layout), strict=True):
        verdict, after, _ = bench.send(frame)
        assert (verdict, after[12:]) == (SEND, expected[12:])


@CHAINS
def test_local_packets_pass_and_are_noted(bench: PacketBench, chain: tuple[Extension, ...]):
    serve(bench, ForwardingMethod.LOCAL)
    for flags in (SYN, ACK):
        frame = extended(encode_packet(request(flags)), *chain)
        assert bench.send(frame) == (PASS, frame, None)
    (connection,) = bench.dataplane.connections(limit=10)
    noted = bench.program == "shoal_tc"  # which has the last look
    assert connection.state == ("established" if noted else "none")


@CHAINS
@pytest.mark.parametrize(("flags", "answer"), [(PSH | ACK, RST), (PSH, RST | ACK), (FIN | ACK, RST)])
def test_extension_headers_stay_in_front_of_a_reset(
    bench: PacketBench, chain: tuple[Extension, ...], flags: TcpFlags, answer: TcpFlags
):
    service = serve(bench, ForwardingMethod.NAT, on_removal=Leaving.RESET)
    assert bench.send(encode_packet(request(SYN)))[0] == SEND
    bench.dataplane.apply([PutService(service=replace(service, destinations=()))])
    came = extended(encode_packet(request(flags, payload=b"x" * 100)), *chain)
    verdict, after, reason = bench.send(came)
    assert (verdict, reason) == (ANSWER, Drop.REMOVED)
    assert headers_of(after) == headers_of(came)
    decoded = decode_packet(after)
    assert decoded.padding == b""
    assert decoded.packet == Packet(
        source=VIP, source_port=80, destination=CLIENT, destination_port=40_000, flags=answer, ttl=64
    )


@CHAINS
def test_they_stay_in_front_of_an_abort(bench: PacketBench, chain: tuple[Extension, ...]):
    (service,) = sctp.serving(IPV6, on_removal=Leaving.RESET)
    bench.dataplane.apply([PutService(service=service)])
    assert bench.send(encode_packet(sctp.request(IPV6, SctpChunk.INIT)))[0] == SEND
    bench.dataplane.apply([PutService(service=replace(service, destinations=()))])
    came = extended(encode_packet(sctp.request(IPV6, SctpChunk.DATA, payload=bytes(100))), *chain)
    if bench.program == "shoal_xdp":  # to which a CRC does not show whether it is finished
        assert bench.send(came) == (PASS, came, None)
        return
    verdict, after, reason = bench.send(came)
    assert (verdict, reason) == (ANSWER, Drop.REMOVED)
    assert headers_of(after) == headers_of(came)
    assert decode_packet(after).packet.chunk is SctpChunk.ABORT


@CHAINS
def test_the_option_mss_behind_them_is_lowered(bench: PacketBench, chain: tuple[Extension, ...]):
    serve(bench, ForwardingMethod.NAT, mss_clamp=1200)
    verdict, after, _ = bench.send(extended(encode_packet(request(SYN, mss=1440)), *chain))
    assert verdict == SEND
    assert decode_packet(after).packet.mss == 1200
    assert decode_packet(after).l4_checksum_ok


@pytest.mark.parametrize("flags", [SYN, TcpFlags.NONE], ids=["tcp", "udp"])
def test_xdp_leaves_an_unfinished_checksum_to_tc(bench: PacketBench, flags: TcpFlags):
    """Where the field holds the pseudo header's sum alone (CHECKSUM_PARTIAL)."""
    serve(bench, ForwardingMethod.NAT)
    packet = request(flags, payload=b"unfinished")
    frame = bytearray(encode_packet(packet))
    length, number = len(frame) - 54, 6 if flags else 17
    pseudo = ~checksum(CLIENT.packed + VIP.packed + struct.pack("!II", length, number)) & 0xFFFF
    struct.pack_into("!H", frame, 54 + (16 if flags else 6), pseudo)
    came = extended(bytes(frame), *CHAIN)
    verdict, after, _ = bench.send(came)
    assert verdict == (PASS if bench.program == "shoal_xdp" else SEND)
    assert (after == came) is (verdict == PASS)


def test_segments_behind_them_belong_to_the_connection_of_those_without(bench: PacketBench):
    serve(bench, ForwardingMethod.NAT)
    for number, flags in enumerate((SYN, ACK, PSH | ACK, FIN | ACK)):
        frame = encode_packet(request(flags))
        assert bench.send(extended(frame, *CHAIN) if number % 2 else frame)[0] == SEND
    (connection,) = bench.dataplane.connections(limit=10)
    assert connection.state == "close_wait"
    (counted,) = bench.dataplane.counters().services["www"].destinations.values()
    assert counted.packets_in == 4
    assert counted.bytes_in == 4 * (40 + TCP.size) + 2 * sum(1 + len(each.content) for each in CHAIN)


def test_fragments_that_overtook_their_first_follow_it(bench: PacketBench):
    serve(bench, ForwardingMethod.NAT)
    came = fragments(encode_packet(request(payload=bytes(150))), 64, number=9, behind=(options(16),))
    inside = request(payload=bytes(150), destination=REAL, ttl=63)
    expected = fragments(encode_packet(inside), 64, number=9, behind=(options(16),))
    if bench.program == "shoal_xdp":  # which cannot keep a frame
        assert bench.send(came[1]) == (PASS, came[1], None)
        return
    for frame in came[:0:-1]:
        assert bench.send(frame)[0] == HOLD
    verdict, after, _ = bench.send(came[0])
    assert (verdict, after[12:]) == (SEND, expected[0][12:])
    assert sorted(each[1][12:] for each in bench.released) == sorted(each[12:] for each in expected[1:])
