"""SCTP: chunks that move the state, chunks in one packet, and what becomes of an association (RFC 9260)."""

import struct
from collections.abc import Iterator
from dataclasses import replace

from packet_table.build import framed, ip_packet
from packet_table.net import DR, NAT, Net, in_both
from packet_table.row import PASSED, Dropped, Row, Step, arrives, older, patched, sent, sent_as
from shoal.dataplane.base import Destination, Drop, Service
from shoal.dataplane.packet import Packet
from shoal.model import ForwardingMethod, Listener, Protocol
from shoal.model.sctp_states import SctpChunk
from support.crc32c import crc32c
from support.packets import SCTP_TAG, encode_packet

SCTP, NUMBER = Protocol.SCTP, 132
PORT, CLIENT_PORT = 2905, 40_000
HEADER = 12
C = SctpChunk

# the state afterwards of an established association, from the client, from the real server, and by dr
ESTABLISHED = {
    C.DATA: "established established established",
    C.INIT: "established established established",
    C.INIT_ACK: "established established established",
    C.SACK: "established established established",
    C.HEARTBEAT: "established established established",
    C.ABORT: "closed closed closed",
    C.SHUTDOWN: "shutdown_received shutdown_sent shutdown_received",
    C.SHUTDOWN_ACK: "established established closed",
    C.ERROR: "established established established",
    C.COOKIE_ECHO: "established established established",
    C.COOKIE_ACK: "established established established",
    C.SHUTDOWN_COMPLETE: "established established established",
}


def request(net: Net, chunk: SctpChunk, **fields: object) -> Packet:
    """From the client."""
    return replace(net.request(protocol=SCTP, destination_port=PORT, chunk=chunk), **fields)  # type: ignore[arg-type]


def reply(net: Net, chunk: SctpChunk, **fields: object) -> Packet:
    """From the real server."""
    return replace(net.reply(protocol=SCTP, source_port=PORT, chunk=chunk), **fields)  # type: ignore[arg-type]


def inside(net: Net, packet: Packet) -> Packet:
    """A request as nat sends it on."""
    return older(replace(packet, destination=net.real))


def outside(net: Net, packet: Packet) -> Packet:
    """A reply as nat sends it on."""
    return older(replace(packet, source=net.vip))


def serving(net: Net, method: ForwardingMethod = NAT, **fields: object) -> tuple[Service, ...]:
    """One real server on the listener's port."""
    whole = Service(
        name="sctp",
        listeners=(Listener(address=net.vip, port=PORT, protocol=SCTP),),
        scheduler="rr",
        method=method,
        destinations=(Destination(address=net.real, port=PORT, weight=1),),
    )
    return (replace(whole, **fields),)  # type: ignore[arg-type]


def established(net: Net, method: ForwardingMethod = NAT) -> tuple[Step, ...]:
    """An association of the client's."""
    if method is DR:
        return (*serving(net, DR), *arrives(request(net, C.INIT), request(net, C.COOKIE_ECHO)))
    asked, echoed = request(net, C.INIT), request(net, C.COOKIE_ECHO)
    history = (asked, reply(net, C.INIT_ACK), echoed, reply(net, C.COOKIE_ACK))
    return (*serving(net), *arrives(*history))


def chunks(net: Net) -> Iterator[Row]:
    """Every chunk in an established association."""
    for chunk, states in ESTABLISHED.items():
        client, server, only = (f"sctp_{state}" for state in states.split())
        packet, answer = request(net, chunk), reply(net, chunk)
        yield Row(
            name=f"SCTP {chunk.name} from the client",
            before=established(net),
            frame=encode_packet(packet),
            then=sent(inside(net, packet)),
            state=client,
        )
        yield Row(
            name=f"SCTP {chunk.name} from the real server",
            before=established(net),
            frame=encode_packet(answer),
            then=sent(outside(net, answer)),
            state=server,
        )
        yield Row(
            name=f"SCTP {chunk.name} from the client by dr",
            before=established(net, DR),
            frame=encode_packet(packet),
            then=sent(older(packet)),
            state=only,
        )


def openings(net: Net) -> Iterator[Row]:
    """Every chunk without an association."""
    for chunk in SctpChunk:
        packet = request(net, chunk)
        opens = chunk is C.INIT
        yield Row(
            name=f"SCTP {chunk.name} without an association",
            before=serving(net),
            frame=encode_packet(packet),
            then=sent(inside(net, packet)) if opens else PASSED,
            state="sctp_init1" if opens else "",
        )
    yield Row(
        name="SCTP INIT without a real server",
        before=serving(net, destinations=()),
        frame=encode_packet(request(net, C.INIT)),
        then=Dropped(Drop.NO_REAL_SERVER),
    )
    elsewhere = request(net, C.INIT, destination_port=PORT + 1)
    yield Row(
        name="SCTP INIT to another port", before=serving(net), frame=encode_packet(elsewhere), then=PASSED
    )


def chunk_of(kind: SctpChunk, content: bytes = b"") -> bytes:
    """One chunk, padded."""
    return struct.pack("!BBH", kind, 0, 4 + len(content)) + content + bytes(-len(content) % 4)


def bundle(net: Net, *found: bytes, to: bool = False, ttl: int = 64) -> bytes:
    """A frame with these chunks from the client; ``to`` the real server, as it leaves."""
    content = bytearray(struct.pack("!HHII", CLIENT_PORT, PORT, SCTP_TAG, 0) + b"".join(found))
    content[8:12] = crc32c(content).to_bytes(4, "little")
    return framed(ip_packet(net.client, net.real if to else net.vip, NUMBER, bytes(content), ttl=ttl))


def bundles(net: Net) -> Iterator[Row]:
    """The first chunk decides, but for an ABORT behind a cookie (RFC 9260 3.3.7)."""
    cookie = chunk_of(C.COOKIE_ECHO, b"a cookie of 21 bytes.")
    cases = {
        "a cookie and DATA": ((cookie, chunk_of(C.DATA, bytes(12))), "established"),
        "a cookie and an ABORT": ((cookie, chunk_of(C.ABORT)), "closed"),
        "a cookie's acknowledgement and an ABORT": ((chunk_of(C.COOKIE_ACK), chunk_of(C.ABORT)), "closed"),
        "SACK and an ABORT": ((chunk_of(C.SACK, bytes(12)), chunk_of(C.ABORT)), "established"),
        "a cookie and half of an ABORT": ((cookie, chunk_of(C.ABORT)[:2]), "established"),
    }
    for name, (found, state) in cases.items():
        yield Row(
            name=f"SCTP: {name}",
            before=established(net),
            frame=bundle(net, *found),
            then=sent_as(bundle(net, *found, to=True, ttl=63)),
            state=f"sctp_{state}",
        )


def lengths(net: Net) -> Iterator[Row]:
    """Too short for a chunk; lengths of chunks are the ends' business."""
    whole = bundle(net, chunk_of(C.DATA, bytes(16)))
    at = 14 + net.ip_header
    for length in (0, 8, HEADER, HEADER + 3):
        packet = ip_packet(net.client, net.vip, NUMBER, whole[at : at + length])
        yield Row(name=f"SCTP of {length} bytes", before=established(net), frame=framed(packet), then=PASSED)
    odd = chunk_of(C.COOKIE_ECHO, bytes(8))
    for length in (0, 3, 0xFFFF):
        changed = patched(odd, 2, struct.pack("!H", length))
        yield Row(
            name=f"SCTP: a cookie that claims {length} bytes",
            before=established(net),
            frame=bundle(net, changed),
            then=sent_as(bundle(net, changed, to=True, ttl=63)),
            state="sctp_established",
        )


def ends(net: Net) -> Iterator[Row]:
    """A port that is used again, and the end of a packet's life."""
    again = request(net, C.INIT)
    yield Row(
        name="SCTP INIT after an ABORT",
        before=(*established(net), *arrives(request(net, C.ABORT))),
        frame=encode_packet(again),
        then=sent(inside(net, again)),
        state="sctp_init1",
    )
    old = request(net, C.DATA, ttl=1)
    frame = encode_packet(old)
    yield Row(
        name="SCTP at the end of its TTL", before=established(net), frame=frame, then=net.aged(frame, old)
    )


ROWS = [row for table in (chunks, openings, bundles, lengths, ends) for row in in_both(table)]
