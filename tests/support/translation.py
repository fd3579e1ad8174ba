"""A dataplane that is spoken to in IPv4 and works in IPv6: so that what is tested of one family is tested of both.

Each IPv4 address stands for the IPv6 address with that one in its last 32 bits. The 96 bits before it cancel out where
an address is folded into 32 bits, as the hashing schedulers do, so that they choose alike.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from shoal.dataplane.base import (
    Attachment,
    Counters,
    Dataplane,
    DataplaneState,
    DestinationCounters,
    PutService,
    Service,
    Step,
)
from shoal.dataplane.packet import IP_HEADER, Packet, Verdict
from shoal.model import Address, Connection, LocalPool, Network, Persistence, Template

LONGER_HEADER = IP_HEADER[6] - IP_HEADER[4]
PREFIX = int(IPv6Address("2001:db8:2001:db8::"))


def to_ipv6(address: Address) -> Address:
    """The IPv6 address that an IPv4 address stands for."""
    return IPv6Address(PREFIX | int(address))


def to_ipv4(address: Address) -> Address:
    """Back again."""
    assert int(address) >> 32 == PREFIX >> 32
    return IPv4Address(int(address) & 0xFFFFFFFF)


def packet_to_ipv6(packet: Packet) -> Packet:
    """The same packet in IPv6, with what it quotes."""
    return _packet_readdressed(packet, to_ipv6)


def packet_to_ipv4(packet: Packet) -> Packet:
    """The same packet in IPv4, with what it quotes, and in a tunnel's outer header too."""
    back = _packet_readdressed(packet, to_ipv4)
    if packet.outer is not None:
        back = replace(back, outer=replace(packet.outer, destination=to_ipv4(packet.outer.destination)))
    return back


def _packet_readdressed(packet: Packet, to: Callable[[Address], Address]) -> Packet:
    quote = packet.quote
    if quote is not None:
        quote = replace(quote, packet=_packet_readdressed(quote.packet, to))
    return replace(packet, source=to(packet.source), destination=to(packet.destination), quote=quote)


def verdict_to_ipv4(verdict: Verdict) -> Verdict:
    """The verdict with its packet in IPv4."""
    if verdict.packet is None:
        return verdict
    return replace(verdict, packet=packet_to_ipv4(verdict.packet))


def service_to_ipv6(service: Service) -> Service:
    """The same service in IPv6."""
    return _readdressed(service, to_ipv6, _network_to_ipv6)


def service_to_ipv4(service: Service) -> Service:
    """The same service in IPv4."""
    return _readdressed(service, to_ipv4, _network_to_ipv4)


def _network_to_ipv6(network: Network) -> Network:
    return IPv6Network((to_ipv6(network.network_address), network.prefixlen + 96))


def _network_to_ipv4(network: Network) -> Network:
    return IPv4Network((to_ipv4(network.network_address), network.prefixlen - 96))


def _readdressed(
    service: Service, to: Callable[[Address], Address], network_to: Callable[[Network], Network]
) -> Service:
    admission = replace(
        service.admission,
        allow=tuple(map(network_to, service.admission.allow)),
        deny=tuple(map(network_to, service.admission.deny)),
    )
    return replace(
        service,
        admission=admission,
        listeners=tuple(replace(each, address=to(each.address)) for each in service.listeners),
        destinations=tuple(replace(each, address=to(each.address)) for each in service.destinations),
        persistence=_persistence(service.persistence),
    )


def _persistence(persistence: Persistence | None) -> Persistence | None:
    """The networks of one family are those of the other; doing it twice undoes it."""
    if persistence is None:
        return None
    longer = {"ipv4_prefix": persistence.ipv6_prefix - 96, "ipv6_prefix": persistence.ipv4_prefix + 96}
    return replace(persistence, **longer)


def _shorter(share: DestinationCounters) -> DestinationCounters:
    return replace(
        share,
        bytes_in=share.bytes_in - LONGER_HEADER * share.packets_in,
        bytes_out=share.bytes_out - LONGER_HEADER * share.packets_out,
    )


class TranslatedDataplane(Dataplane):
    """In front of a real one."""

    def __init__(self, inner: Dataplane) -> None:
        self.inner = inner
        self.name = inner.name

    def actual(self) -> DataplaneState:
        """What is installed, in IPv4."""
        services = {name: service_to_ipv4(each) for name, each in self.inner.actual().services.items()}
        return DataplaneState(services=services, timeouts=self.inner.actual().timeouts)

    def apply(self, steps: Sequence[Step]) -> None:
        """The same steps in IPv6."""
        self.inner.apply(
            [
                replace(step, service=service_to_ipv6(step.service)) if isinstance(step, PutService) else step
                for step in steps
            ]
        )

    def use_local(self, pool: LocalPool) -> None:
        """The same pool in IPv6."""
        addresses = tuple(to_ipv6(address) for address in pool.addresses)
        self.inner.use_local(replace(pool, addresses=addresses))

    def attachments(self) -> tuple[Attachment, ...]:
        """As they are."""
        return self.inner.attachments()

    def connections(self, *, limit: int) -> Iterable[Connection]:
        """Each in IPv4."""
        return [
            replace(
                each,
                client=(to_ipv4(each.client[0]), each.client[1]),
                virtual=(to_ipv4(each.virtual[0]), each.virtual[1]),
                real=(to_ipv4(each.real[0]), each.real[1]),
            )
            for each in self.inner.connections(limit=limit)
        ]

    def templates(self, *, limit: int) -> Iterable[Template]:
        """Each in IPv4."""
        return [
            replace(
                each,
                network=ip_network((to_ipv4(each.network.network_address), each.network.prefixlen - 96)),
                real=(to_ipv4(each.real[0]), each.real[1]),
            )
            for each in self.inner.templates(limit=limit)
        ]

    def counters(self) -> Counters:
        """With the real servers in IPv4, and as many bytes as the packets would have there."""
        counters = self.inner.counters()
        services = {
            name: replace(
                each,
                destinations={
                    (to_ipv4(address), port): _shorter(share)
                    for (address, port), share in each.destinations.items()
                },
            )
            for name, each in counters.services.items()
        }
        return replace(
            counters,
            services=services,
            connections_held=counters.ipv6_connections_held,
            connections_limit=counters.ipv6_connections_limit,
        )

    def overloaded(self) -> bool:
        """As it is."""
        return self.inner.overloaded()

    def sweep(self) -> int:
        """As it is."""
        return self.inner.sweep()

    def close(self) -> None:
        """As it is."""
        self.inner.close()

    def remove(self) -> None:
        """As it is."""
        self.inner.remove()
