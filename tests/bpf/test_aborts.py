"""SCTP ABORTs that clients get when their association is ended: to the last byte (RFC 9260 3.3.7, 8.4)."""

from dataclasses import replace

import pytest
from packet_table.net import IPV4, IPV6, NAT, Net
from packet_table.sctp import HEADER, PORT, established, request, serving

from shoal.dataplane.base import Drop, PutService
from shoal.dataplane.ebpf.libbpf import run_packet
from shoal.dataplane.packet import Packet
from shoal.model import ForwardingMethod, Leaving
from shoal.model.sctp_states import SctpChunk
from support.namespaces import inside
from support.packet_bench import ANSWER, SEND, XDP_PASS, XDP_REDIRECT, PacketBench
from support.packets import DESTINATION_MAC, ETHERNET, SCTP_TAG, SOURCE_MAC, decode_packet, encode_packet

REFLECTED = 1  # the flag T


def cut(bench: PacketBench, net: Net, method: ForwardingMethod = NAT) -> None:
    """Set an association up, and remove its real server."""
    service, *history = established(net, method)
    (service,) = serving(net, method, on_removal=Leaving.RESET)
    bench.dataplane.apply([PutService(service=service)])
    for each in history:
        assert bench.send(each.frame)[0] == SEND  # type: ignore[union-attr]
    bench.dataplane.apply([PutService(service=replace(service, destinations=()))])


@pytest.mark.parametrize("method", [NAT, ForwardingMethod.DR])
@pytest.mark.parametrize("net", [IPV4, IPV6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("payload", [b"", bytes(1000)])
def test_a_client_gets_an_abort_with_its_own_tag(bench: PacketBench, net: Net, method, payload):
    cut(bench, net, method)
    verdict, frame, reason = bench.send(encode_packet(request(net, SctpChunk.DATA, payload=payload)))
    assert (verdict, reason) == (ANSWER, Drop.REMOVED)
    decoded = decode_packet(frame)
    assert (decoded.destination_mac, decoded.source_mac) == (SOURCE_MAC, DESTINATION_MAC)
    asked = request(net, SctpChunk.ABORT)
    assert decoded.packet == Packet(
        source=asked.destination,
        source_port=PORT,
        destination=asked.source,
        destination_port=asked.source_port,
        protocol=asked.protocol,
        chunk=SctpChunk.ABORT,
    )
    assert decoded.ip_checksum_ok
    assert decoded.l4_checksum_ok
    at = ETHERNET.size + net.ip_header
    assert len(frame) == at + HEADER + 4
    assert int.from_bytes(frame[at + 4 : at + 8], "big") == SCTP_TAG
    assert frame[at + HEADER + 1] == REFLECTED


def test_an_abort_is_answered_by_none(bench: PacketBench):
    cut(bench, IPV4)
    verdict, _, reason = bench.send(encode_packet(request(IPV4, SctpChunk.ABORT)))
    assert (verdict, reason) == (SEND, None)


@pytest.mark.parametrize("net", [IPV4, IPV6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("program", "verdict"), [("shoal_xdp", XDP_REDIRECT), ("shoal_xdp_local", XDP_PASS)])
def test_what_a_local_stack_sends_is_left_to_tc_for_its_crc(bench: PacketBench, net: Net, program, verdict):
    """Its CRC may be unfinished, and only a socket buffer says so."""
    bench.dataplane.apply([PutService(service=each) for each in serving(net)])
    frame = encode_packet(request(net, SctpChunk.INIT))
    with inside(bench.namespace):
        got, after = run_packet(bench.dataplane._loaded.program(program), frame)
    assert got == verdict
    assert (after == frame) is (verdict == XDP_PASS)
