"""Clients and real servers for the contract tests: flows that send packets and follow what comes out."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from shoal.dataplane.base import (
    DataplaneState,
    Destination,
    DestinationCounters,
    Drop,
    PutService,
    RemoveService,
    Service,
    ServiceCounters,
)
from shoal.dataplane.packet import Action, Packet, TcpFlags, Verdict
from shoal.model import Connection, ForwardingMethod, Listener, LocalPool, Protocol
from support.dataplanes import DataplaneUnderTest

SYN, ACK, FIN, RST, NONE = TcpFlags.SYN, TcpFlags.ACK, TcpFlags.FIN, TcpFlags.RST, TcpFlags.NONE

CLIENT = IPv4Address("198.51.100.7")
VIP = IPv4Address("192.0.2.10")
HTTP = Listener(address=VIP, port=80, protocol=Protocol.TCP)
HTTPS = Listener(address=VIP, port=443, protocol=Protocol.TCP)
DNS = Listener(address=VIP, port=53, protocol=Protocol.UDP)
M3UA = Listener(address=VIP, port=2905, protocol=Protocol.SCTP)

Endpoint = tuple[IPv4Address, int]


def real(
    number: int,
    *,
    port: int = 8080,
    weight: int = 1,
    available: bool = True,
    method: ForwardingMethod | None = None,
) -> Destination:
    """Real server 10.0.1.NUMBER."""
    address = IPv4Address(f"10.0.1.{number}")
    return Destination(address=address, port=port, weight=weight, available=available, method=method)


def service(
    *destinations: Destination,
    listeners: tuple[Listener, ...] = (HTTP,),
    scheduler: str = "rr",
    flags: tuple[str, ...] = (),
    name: str = "www",
    method: ForwardingMethod = ForwardingMethod.NAT,
) -> Service:
    """A service, by NAT unless something else is said."""
    return Service(
        name=name,
        listeners=listeners,
        scheduler=scheduler,
        scheduler_flags=flags,
        method=method,
        destinations=destinations,
    )


@dataclass(frozen=True)
class Flow:
    """One client's port that talks to one listener."""

    lab: "ContractLab"
    port: int
    listener: Listener
    client: IPv4Address = CLIENT

    def request(self, flags: TcpFlags = NONE, *, payload: bytes = b"", **fields: int) -> Packet:
        """A packet from the client."""
        return replace(
            Packet(
                source=self.client,
                source_port=self.port,
                destination=self.listener.address,
                destination_port=self.listener.port,
                protocol=self.listener.protocol,
                flags=flags,
                payload=payload,
            ),
            **fields,
        )

    def reply(
        self, server: Endpoint, flags: TcpFlags = NONE, *, payload: bytes = b"", **fields: int
    ) -> Packet:
        """A packet from a real server to the client."""
        return replace(
            Packet(
                source=server[0],
                source_port=server[1],
                destination=self.client,
                destination_port=self.port,
                protocol=self.listener.protocol,
                flags=flags,
                payload=payload,
            ),
            **fields,
        )

    def send(self, flags: TcpFlags = NONE, *, payload: bytes = b"") -> Verdict:
        """Send from the client."""
        return self.lab.send(self.request(flags, payload=payload))

    def reached(self, flags: TcpFlags = NONE, *, payload: bytes = b"") -> Endpoint:
        """Send from the client; the real server that it went to."""
        verdict = self.send(flags, payload=payload)
        assert verdict.action is Action.FORWARD, verdict
        assert verdict.packet is not None
        return verdict.packet.destination, verdict.packet.destination_port

    def answered(self, server: Endpoint, flags: TcpFlags = NONE, *, payload: bytes = b"") -> None:
        """Send from the real server; it must arrive in the name of the listener."""
        packet = self.reply(server, flags, payload=payload)
        virtual = replace(packet, source=self.listener.address, source_port=self.listener.port, ttl=63)
        assert self.lab.send(packet) == Verdict(action=Action.FORWARD, packet=virtual)

    def established(self) -> Endpoint:
        """Shake hands; the real server."""
        server = self.reached(SYN)
        self.answered(server, SYN | ACK)
        assert self.reached(ACK) == server
        return server

    def closed(self) -> Endpoint:
        """Shake hands and close from both sides; the real server."""
        server = self.established()
        self.reached(FIN | ACK)
        self.answered(server, FIN | ACK)
        self.reached(ACK)
        return server

    def connection(self) -> Connection | None:
        """The dataplane's entry of this flow."""
        ours = [
            each
            for each in self.lab.dataplane.connections(limit=10_000)
            if each.client == (self.client, self.port)
            and each.virtual == (self.listener.address, self.listener.port)
            and each.protocol is self.listener.protocol
        ]
        assert len(ours) <= 1
        return ours[0] if ours else None

    @property
    def state(self) -> str:
        """The state of its entry; empty when there is none."""
        found = self.connection()
        return str(found.state) if found else ""


class ContractLab:
    """A dataplane under test with the words that the tests speak."""

    def __init__(self, under_test: DataplaneUnderTest) -> None:
        self._under_test = under_test
        self.dataplane = under_test.dataplane
        self.send = under_test.send
        self.advance = under_test.advance
        self.released = under_test.released

    def put(self, *services: Service) -> None:
        """Install or replace services."""
        self.dataplane.apply([PutService(service=each) for each in services])

    def use_local(self, *addresses: IPv4Address, ports: range) -> None:
        """Give fullnat connections these local ends."""
        self.dataplane.use_local(LocalPool(addresses=addresses, ports=ports))

    def remove(self, name: str = "www") -> None:
        """Remove a service."""
        self.dataplane.apply([RemoveService(name=name)])

    def installed(self) -> DataplaneState:
        """What the dataplane reads back."""
        return self.dataplane.actual()

    def flow(self, number: int = 0, listener: Listener = HTTP, *, client: IPv4Address = CLIENT) -> Flow:
        """The flow from the client's port 40000 + NUMBER."""
        return Flow(self, 40_000 + number, listener, client)

    def totals(self, name: str = "www") -> ServiceCounters:
        """The counters of a service."""
        return self.dataplane.counters().services[name]

    def drops(self, name: str = "www") -> dict[Drop, int]:
        """The drops of a service that happened."""
        return {reason: count for reason, count in self.totals(name).drops.items() if count}

    def counted(self, destination: Destination, name: str = "www") -> DestinationCounters:
        """The counters of one real server."""
        return self.totals(name).destinations[destination.endpoint]

    def gauges(self, destination: Destination, name: str = "www") -> tuple[int, int]:
        """Active and inactive connections of one real server, expired ones taken away."""
        self.dataplane.sweep()
        found = self.counted(destination, name)
        return found.active, found.inactive
