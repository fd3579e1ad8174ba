"""Around a hand-over: what a router that does not own the addresses any more, or only just does, makes of packets."""

import time
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from shoal.dataplane.base import Destination, Drop, PutService, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import ForwardingMethod, Listener, Protocol
from shoal.system.lease import Lease
from support.packet_bench import DROP, PASS, SEND, PacketBench
from support.packets import decode_packet, encode_packet

VIP = IPv4Address("192.0.2.10")
GATEWAY = IPv4Address("10.0.1.1")
REAL = IPv4Address("10.0.1.21")
CLIENT = IPv4Address("198.51.100.7")
ROUTER = IPv4Address("192.168.255.1")  # the bench's own address
REPLY = Packet(
    source=REAL,
    source_port=53,
    destination=CLIENT,
    destination_port=40_000,
    protocol=Protocol.UDP,
    payload=b"answer",
)
TCP_REPLY = replace(REPLY, protocol=Protocol.TCP, source_port=8080, flags=TcpFlags.ACK)
SECOND = 1_000_000_000


def boot_time() -> int:
    """The lease's clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def put(
    bench: PacketBench,
    name: str,
    *listeners: Listener,
    real_port: int,
    method: ForwardingMethod = ForwardingMethod.NAT,
) -> None:
    """A service with one real server."""
    service = Service(
        name=name,
        listeners=listeners,
        scheduler="rr",
        method=method,
        destinations=(Destination(address=REAL, port=real_port, weight=1),),
    )
    bench.dataplane.apply([PutService(service=service)])


@pytest.fixture
def serving(bench: PacketBench) -> PacketBench:
    """UDP port 53 and TCP port 80."""
    put(bench, "dns", Listener(address=VIP, port=53, protocol=Protocol.UDP), real_port=53)
    put(bench, "www", Listener(address=VIP, port=80, protocol=Protocol.TCP), real_port=8080)
    return bench


@pytest.fixture
def lease(serving: PacketBench):
    opened = Lease.open(serving.pins)
    assert opened is not None
    opened.set_addresses([VIP, GATEWAY])
    yield opened
    opened.close()


def arp(operation: int, target: IPv4Address) -> bytes:
    """An ARP packet for IPv4 over Ethernet (RFC 826)."""
    head = bytes.fromhex("ffffffffffff02000000000108060001080006040000")
    sender = bytes.fromhex("020000000001") + CLIENT.packed
    return head[:-1] + bytes([operation]) + sender + bytes(6) + target.packed + bytes(18)


def test_without_a_hand_over_an_unknown_reply_is_left_to_the_host(serving: PacketBench):
    frame = encode_packet(REPLY)
    assert serving.send(frame) == (PASS, frame, None)


@pytest.mark.parametrize(("reply", "port"), [(REPLY, 53), (TCP_REPLY, 80)], ids=["udp", "tcp"])
def test_during_a_hand_over_a_reply_goes_out_in_its_virtual_servers_name(
    serving: PacketBench, lease: Lease, reply: Packet, port: int
):
    lease.begin_handover(boot_time() + SECOND)
    verdict, frame, _ = serving.send(encode_packet(reply))
    assert verdict == SEND
    assert decode_packet(frame).packet == replace(reply, source=VIP, source_port=port, ttl=63)
    (adopted,) = serving.dataplane.connections(limit=10)
    assert (adopted.client, adopted.real) == ((CLIENT, 40_000), (REAL, reply.source_port))


def test_a_reply_to_the_router_itself_is_never_taken_for_a_clients(serving: PacketBench, lease: Lease):
    lease.begin_handover(boot_time() + SECOND)
    frame = encode_packet(replace(TCP_REPLY, destination=ROUTER))
    assert serving.send(frame) == (PASS, frame, None)
    assert list(serving.dataplane.connections(limit=10)) == []


def test_a_reset_or_a_handshake_is_not_taken_up_from_a_reply(serving: PacketBench, lease: Lease):
    lease.begin_handover(boot_time() + SECOND)
    for flags in (TcpFlags.RST, TcpFlags.SYN | TcpFlags.ACK, TcpFlags.FIN | TcpFlags.ACK):
        frame = encode_packet(replace(TCP_REPLY, flags=flags))
        assert serving.send(frame) == (PASS, frame, None)


def test_a_real_server_with_two_names_outside_is_not_guessed_at(serving: PacketBench, lease: Lease):
    second = Listener(address=IPv4Address("192.0.2.11"), port=53, protocol=Protocol.UDP)
    put(serving, "dns", Listener(address=VIP, port=53, protocol=Protocol.UDP), second, real_port=53)
    lease.begin_handover(boot_time() + SECOND)
    frame = encode_packet(REPLY)
    assert serving.send(frame) == (PASS, frame, None)


def test_nothing_that_a_direct_real_server_sends_is_taken_up(serving: PacketBench, lease: Lease):
    listener = Listener(address=VIP, port=53, protocol=Protocol.UDP)
    put(serving, "dns", listener, real_port=53, method=ForwardingMethod.DR)
    lease.begin_handover(boot_time() + SECOND)
    frame = encode_packet(REPLY)
    assert serving.send(frame) == (PASS, frame, None)
    assert list(serving.dataplane.connections(limit=10)) == []


def test_the_hand_over_ends(serving: PacketBench, lease: Lease):
    lease.begin_handover(boot_time() - 1)
    frame = encode_packet(REPLY)
    assert serving.send(frame) == (PASS, frame, None)


def test_a_router_whose_lease_is_over_still_forwards(serving: PacketBench, lease: Lease):
    lease.begin_handover(1)
    lease.renew(boot_time() - 1)
    assert serving.send(encode_packet(REPLY))[0] == SEND
    request = replace(REPLY, source=CLIENT, source_port=40_001, destination=VIP, destination_port=53)
    assert serving.send(encode_packet(request))[0] == SEND


@pytest.mark.parametrize("target", [VIP, GATEWAY], ids=str)
def test_arp_for_a_floating_address_stays_unanswered_once_the_lease_is_over(
    serving: PacketBench, lease: Lease, target: IPv4Address
):
    frame = arp(1, target)
    lease.renew(boot_time() + SECOND)
    assert serving.send(frame) == (PASS, frame, None)
    lease.renew(boot_time() - 1)
    assert serving.send(frame)[::2] == (DROP, Drop.LEASE_EXPIRED)


def test_arp_is_never_touched_where_no_lease_is_in_use(serving: PacketBench, lease: Lease):
    lease.renew(0)
    frame = arp(1, VIP)
    assert serving.send(frame) == (PASS, frame, None)


def test_other_arp_goes_through_although_the_lease_is_over(serving: PacketBench, lease: Lease):
    lease.renew(boot_time() - 1)
    for frame in (arp(1, ROUTER), arp(2, VIP), arp(1, VIP)[:40]):
        assert serving.send(frame) == (PASS, frame, None)
