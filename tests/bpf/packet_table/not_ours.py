"""What is none of the balancer's business, however much it looks like it."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from packet_table.address_filter import look_alike
from packet_table.net import ACK, DR, IPV4, IPV6, NAT, SYN, UDP, Net, in_both
from packet_table.row import PASSED, OwnMac, Row, arrives, patched, sent
from support.packets import encode_packet


def elsewhere(net: Net) -> Iterator[Row]:
    """Other addresses, other ports, other protocols."""
    opened = (*net.serving(NAT), *arrives(net.request(SYN), net.question()))
    strangers = {
        "to another address": net.request(SYN, destination=net.elsewhere),
        "to the router itself": net.request(SYN, destination=net.router),
        "to the real server itself": net.request(SYN, destination=net.real, destination_port=8080),
        "to another port of the virtual address": net.request(SYN, destination_port=81),
        "to port 0 of the virtual address": net.request(SYN, destination_port=0),
        "to port 65535 of the virtual address": net.request(SYN, destination_port=65_535),
        "in UDP to the port of TCP": net.request(protocol=UDP, destination_port=80),
        "in TCP to the port of UDP": net.request(SYN, destination_port=53),
        "an echo request to the virtual address": net.request(protocol=None, payload=b"ping" * 8),
        "an echo request to a real server": net.request(protocol=None, destination=net.real),
        "an echo request from a real server": net.reply(protocol=None),
        "to an address with the filter's bit of the virtual address": net.request(
            SYN, destination=look_alike(net.vip)
        ),
        "from an address with the filter's bit of the real server": net.reply(
            ACK, source=look_alike(net.real)
        ),
        "a virtual address's own SYN": net.request(SYN, source=net.vip, destination=net.elsewhere),
        "a real server's own SYN to elsewhere": net.reply(SYN, destination=net.elsewhere),
        "from the client to itself": net.request(SYN, destination=net.client),
    }
    for name, packet in strangers.items():
        yield Row(name=f"not ours: {name}", before=opened, frame=encode_packet(packet), then=PASSED)
    for name, before in {"where nothing is served": (), "by dr to another address": net.serving(DR)}.items():
        packet = net.request(SYN) if not before else net.request(SYN, destination=net.elsewhere)
        yield Row(name=f"not ours: a SYN {name}", before=before, frame=encode_packet(packet), then=PASSED)


def macs(net: Net) -> Iterator[Row]:
    """Frames for others, which only a promiscuous interface shows."""
    serving = net.serving()
    syn = net.request(SYN)
    yield Row(
        name="a SYN in a frame for the router, which knows its MAC",
        before=(*serving, OwnMac()),
        frame=encode_packet(syn),
        then=sent(net.inside(syn)),
    )
    yield Row(
        name="a SYN in a frame for another host",
        before=(*serving, OwnMac()),
        frame=encode_packet(syn, destination_mac=bytes.fromhex("020000000077")),
        then=PASSED,
    )


def families() -> Iterator[Row]:
    """A header of one family behind the EtherType of the other, and other EtherTypes."""
    for net, other in ((IPV4, IPV6), (IPV6, IPV4)):
        whole = encode_packet(net.request(SYN, payload=bytes(40)))
        ethertype = {4: b"\x08\x00", 6: b"\x86\xdd"}
        yield Row(
            name=f"an IPv{net.version} packet with the EtherType of IPv{other.version}",
            before=(*net.serving(), *(replace(s, name=f"o-{s.name}") for s in other.serving())),
            frame=patched(whole, 12, ethertype[other.version]),
            then=PASSED,
        )
        for name, kind in {
            "ARP": b"\x08\x06",
            "RARP": b"\x80\x35",
            "MPLS": b"\x88\x47",
            "PPPoE": b"\x88\x64",
            "LLDP": b"\x88\xcc",
            "zero": b"\x00\x00",
            "a length (IEEE 802.3)": b"\x00\x40",
        }.items():
            yield Row(
                name=f"an IPv{net.version} packet with the EtherType of {name}",
                before=net.serving(),
                frame=patched(whole, 12, kind),
                then=PASSED,
            )


def protocols() -> Iterator[Row]:
    """Other transport protocols to the virtual address."""
    names = {0: "0", 2: "IGMP", 4: "IPIP", 41: "IPv6 in IP", 47: "GRE", 50: "ESP", 51: "AH", 89: "OSPF"}
    names |= {103: "PIM", 112: "VRRP", 136: "UDP-Lite", 255: "255"}
    for net, place in ((IPV4, 23), (IPV6, 20)):
        whole = encode_packet(net.request(SYN, payload=bytes(range(32))))
        for number, name in names.items():
            if net.version == 6 and number == 0:
                continue  # hop-by-hop options
            yield Row(
                name=f"protocol {name} to the virtual address (IPv{net.version})",
                before=net.serving(),
                frame=patched(whole, place, bytes([number])),
                then=PASSED,
            )


def to_many() -> Iterator[Row]:
    """Broadcast and multicast."""
    for name, net, address, mac in (
        ("the limited broadcast", IPV4, "255.255.255.255", "ffffffffffff"),
        ("all systems", IPV4, "224.0.0.1", "01005e000001"),
        ("VRRP's group", IPV4, "224.0.0.18", "01005e000012"),
        ("all nodes", IPV6, "ff02::1", "333300000001"),
        ("mDNS", IPV6, "ff02::fb", "3333000000fb"),
    ):
        packet = net.question(destination=ip_address(address), ttl=1)
        yield Row(
            name=f"a datagram to {name}",
            before=net.serving(),
            frame=encode_packet(packet, destination_mac=bytes.fromhex(mac)),
            then=PASSED,
        )


ROWS = [*in_both(elsewhere), *in_both(macs), *families(), *protocols(), *to_many()]
