"""Addresses of either family: how they are written, and in which order they come."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from shoal.model import Listener, Protocol, RealServer, address_order, endpoint

V4, V6 = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")


def test_an_ipv6_address_before_a_port_stands_in_brackets():
    assert endpoint(V4, 80) == "192.0.2.10:80"
    assert endpoint(V6, 80) == "[2001:db8::10]:80"
    assert str(Listener(address=V6, port=53, protocol=Protocol.UDP)) == "[2001:db8::10]:53/udp"
    assert RealServer(name="rs1", address=V6, port=8080).endpoint == "[2001:db8::10]:8080"


def test_addresses_of_both_families_sort_ipv4_first():
    texts = ["192.0.2.9", "198.51.100.1", "::5", "2001:db8::1"]
    assert sorted(map(ip_address, reversed(texts)), key=address_order) == [*map(ip_address, texts)]
    nets = ["10.0.1.1/24", "2001:db8:1::1/64"]
    assert sorted(map(ip_interface, reversed(nets)), key=address_order) == [*map(ip_interface, nets)]


def test_listeners_sort_by_address_then_port_then_protocol():
    ordered = [
        Listener(address=V4, port=443, protocol=Protocol.TCP),
        Listener(address=V6, port=53, protocol=Protocol.TCP),
        Listener(address=V6, port=53, protocol=Protocol.UDP),
        Listener(address=V6, port=80, protocol=Protocol.TCP),
    ]
    assert sorted(ordered[n] for n in (2, 0, 3, 1)) == ordered
