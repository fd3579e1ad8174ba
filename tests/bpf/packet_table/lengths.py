"""Lengths and versions that contradict each other, padding, and the largest and smallest of everything."""

import struct
from collections.abc import Iterator
from dataclasses import replace

from packet_table.net import ACK, DR, IPV4, IPV6, NAT, PSH, SYN, Net, in_both
from packet_table.row import PASSED, Row, arrives, older, patched, sent, sent_as
from support.packets import Damage, encode_packet

LARGEST = {4: 1480, 6: 1460}  # TCP and UDP with their headers, in an MTU of 1,500


def wrong_in_both(net: Net) -> Iterator[Row]:
    """What no right sender makes goes to the host untouched."""
    serving = net.serving()
    request = net.request(SYN, payload=b"GET / HTTP/1.0\r\n\r\n")
    for version in sorted({0, 4, 5, 6, 15} - {net.version}):
        yield Row(
            name=f"a packet of version {version}",
            before=serving,
            frame=encode_packet(request, damage=Damage(version=version)),
            then=PASSED,
        )
    for words in (0, 1, 4, 10, 15):
        yield Row(
            name=f"a TCP header that says it has {words} words",
            before=serving,
            frame=encode_packet(request, damage=Damage(data_offset=words)),
            then=PASSED,
        )
    size = len(encode_packet(request)) - 14 - (net.ip_header if net.version == 6 else 0)
    for name, change in {
        "one byte more than there is": 1,
        "1,000 bytes more than there are": 1000,
        "65,535 bytes": 65_535 - size,
        "no bytes": -size,
        "less than a TCP header": 39 - (40 + 18) if net.version == 4 else 19 - (20 + 18),
    }.items():
        yield Row(
            name=f"an IP header that promises {name}",
            before=serving,
            frame=encode_packet(request, damage=Damage(total_length=change)),
            then=PASSED,
        )


def wrong_in_udp(net: Net) -> Iterator[Row]:
    """A datagram's own length."""
    question = net.question()
    right = 8 + len(question.payload)
    for length in (0, 1, 7, right + 1, 65_535):
        yield Row(
            name=f"a UDP length of {length} in a datagram of {right} bytes",
            before=net.serving(),
            frame=encode_packet(question, damage=Damage(udp_length=length - right)),
            then=PASSED,
        )


def wrong_in_ipv4() -> Iterator[Row]:
    """Its header has a length of its own."""
    request = IPV4.request(SYN, payload=b"GET / HTTP/1.0\r\n\r\n")
    for words in (0, 1, 4, 14, 15):
        yield Row(
            name=f"an IPv4 header that says it has {words} words",
            before=IPV4.serving(),
            frame=encode_packet(request, damage=Damage(header_words=words)),
            then=PASSED,
        )
    for number in (0, 2):
        yield Row(
            name=f"an IPv4 packet to an IPv6 service that is {number} bytes too long",
            before=IPV6.serving(),
            frame=encode_packet(request, damage=Damage(total_length=number)),
            then=PASSED,
        )


def shorter_inside(net: Net) -> Iterator[Row]:
    """A UDP length below the IP packet's is allowed (RFC 768 does not forbid it), and so is padding."""
    serving = net.serving()
    question = net.question()
    length = 14 + net.ip_header + 4
    whole = encode_packet(question, damage=Damage(without_l4_checksum=True))
    forwarded = sent(net.inside(question), Damage(without_l4_checksum=True)).frame
    yield Row(
        name="a UDP length that leaves bytes over",
        before=serving,
        frame=patched(whole, length, struct.pack("!H", 8)),
        then=sent_as(patched(forwarded, length, struct.pack("!H", 8))),
    )
    for name, packet, before, then in (
        ("a datagram", replace(question, payload=b""), serving, net.inside),
        ("a SYN", net.request(SYN), serving, net.inside),
        ("a reply", net.reply(ACK), (*serving, *arrives(net.request(SYN))), net.outside),
        ("a direct SYN", net.request(SYN), net.serving(DR), older),
    ):
        for count in (1, 6, 18, 46):
            damage = Damage(padding=b"\xaa" * count)
            yield Row(
                name=f"{name} with {count} bytes of padding behind it",
                before=before,
                frame=encode_packet(packet, damage=damage),
                then=sent(then(packet), damage),
            )


def sizes(net: Net) -> Iterator[Row]:
    """From an empty datagram to a full frame."""
    opened = (*net.serving(NAT), *arrives(net.request(SYN)))
    full = LARGEST[net.version]
    for size in (0, 1, 2, 3, 511, 512, 513, full - 8):
        packet = replace(net.question(), payload=bytes(each % 251 for each in range(size)))
        yield Row(
            name=f"a datagram of {size} bytes",
            before=net.serving(NAT),
            frame=encode_packet(packet),
            then=sent(net.inside(packet)),
        )
    for size in (1, 2, 535, 536, full - 20):
        packet = net.request(PSH | ACK, payload=bytes(each % 241 for each in range(size)))
        yield Row(
            name=f"a segment of {size} bytes",
            before=opened,
            frame=encode_packet(packet),
            then=sent(net.inside(packet)),
        )
    for port in (0, 1, 1023, 65_535):
        packet = net.request(SYN, source_port=port)
        yield Row(
            name=f"a SYN from client port {port}",
            before=net.serving(NAT),
            frame=encode_packet(packet),
            then=sent(net.inside(packet)),
            state="syn_recv",
        )


ROWS = [
    *in_both(wrong_in_both),
    *in_both(wrong_in_udp),
    *wrong_in_ipv4(),
    *in_both(shorter_inside),
    *in_both(sizes),
]
