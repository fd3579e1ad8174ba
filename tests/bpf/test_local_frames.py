"""Forwarding method local on a hook: XDP passes, TC passes and counts, and together they count once."""

from dataclasses import replace
from ipaddress import IPv4Address

from shoal.dataplane.base import Destination, Service
from shoal.dataplane.ebpf.libbpf import run_packet
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from support.namespaces import inside
from support.packet_bench import PASS, TC_ACT_OK, PacketBench

VIP = IPv4Address("192.0.2.10")
HERE = IPv4Address("127.0.0.1")
SYN = Packet(
    source=IPv4Address("198.51.100.7"),
    source_port=40_000,
    destination=VIP,
    destination_port=80,
    flags=TcpFlags.SYN,
    payload=b"as it came",
)
SERVICE = Service(
    name="www",
    listeners=(Listener(address=VIP, port=80, protocol=Protocol.TCP),),
    scheduler="rr",
    method=ForwardingMethod.LOCAL,
    destinations=(Destination(address=HERE, port=80, weight=1),),
)


def test_a_connection_that_passes_both_hooks_is_counted_once(bench: PacketBench):
    bench.put(SERVICE)
    other = bench.dataplane._loaded.program(
        "shoal_tc"
    )  # loaded now: between two packets it would take too long
    for flags in (TcpFlags.SYN, TcpFlags.ACK):
        frame = bench.frame(replace(SYN, flags=flags))
        verdict, after, _ = bench.send(frame)
        assert (verdict, after) == (PASS, frame)
        if bench.program == "shoal_xdp":
            with inside(bench.namespace):
                code, after = run_packet(other, frame)
            assert (code, after) == (TC_ACT_OK, frame)
    (counted,) = bench.dataplane.counters().services["www"].destinations.values()
    assert (counted.connections, counted.active, counted.packets_in) == (1, 1, 2)
    (connection,) = bench.dataplane.connections(limit=10)
    assert connection.state == "established"
