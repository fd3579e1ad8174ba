"""The network that the rows play in, once for each address family."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from packet_table.build import answer
from packet_table.row import Answered, Row
from shoal.dataplane.base import Destination, Drop, Service
from shoal.dataplane.packet import Packet, TcpFlags
from shoal.model import Address, ForwardingMethod, Listener, Protocol

NONE, FIN, SYN, RST, PSH, ACK = (
    TcpFlags.NONE,
    TcpFlags.FIN,
    TcpFlags.SYN,
    TcpFlags.RST,
    TcpFlags.PSH,
    TcpFlags.ACK,
)
TCP, UDP = Protocol.TCP, Protocol.UDP
NAT, DR = ForwardingMethod.NAT, ForwardingMethod.DR
CLIENT_PORT = 40_000
LISTENERS: dict[Protocol | None, int] = {TCP: 80, UDP: 53}
REAL_PORTS: dict[Protocol | None, int] = {TCP: 8080, UDP: 5353}


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """Who is who. ``router`` is the router's own address; nobody listens at ``elsewhere``."""

    version: int
    client: Address
    vip: Address
    real: Address
    other_real: Address
    elsewhere: Address
    router: Address

    @property
    def ip_header(self) -> int:
        """Its length without options, bytes."""
        return 20 if self.version == 4 else 40

    def request(self, flags: TcpFlags = NONE, protocol: Protocol | None = TCP, **fields: object) -> Packet:
        """From the client to a listener."""
        packet = Packet(
            source=self.client,
            source_port=CLIENT_PORT,
            destination=self.vip,
            destination_port=LISTENERS.get(protocol, 0),
            protocol=protocol,
            flags=flags,
        )
        return replace(packet, **fields)  # type: ignore[arg-type]

    def question(self, **fields: object) -> Packet:
        """The same in UDP."""
        return self.request(NONE, UDP, payload=b"question", **fields)

    def reply(self, flags: TcpFlags = NONE, protocol: Protocol | None = TCP, **fields: object) -> Packet:
        """From the real server to the client."""
        packet = Packet(
            source=self.real,
            source_port=REAL_PORTS.get(protocol, 0),
            destination=self.client,
            destination_port=CLIENT_PORT,
            protocol=protocol,
            flags=flags,
        )
        return replace(packet, **fields)  # type: ignore[arg-type]

    def answer(self, **fields: object) -> Packet:
        """The same in UDP."""
        return self.reply(NONE, UDP, payload=b"the answer", **fields)

    def inside(self, request: Packet) -> Packet:
        """A request as nat sends it to the real server."""
        assert request.protocol
        port = REAL_PORTS[request.protocol]
        return replace(request, destination=self.real, destination_port=port, ttl=request.ttl - 1)

    def outside(self, reply: Packet) -> Packet:
        """A reply as nat sends it to the client."""
        assert reply.protocol
        port = LISTENERS[reply.protocol]
        return replace(reply, source=self.vip, source_port=port, ttl=reply.ttl - 1)

    def aged(self, frame: bytes, packet: Packet) -> Answered:
        """The answer to a packet at the end of its life (RFC 792, RFC 4443 3.3)."""
        kind = {4: 11, 6: 3}[self.version]
        return Answered(Drop.TTL_EXCEEDED, answer(frame, packet.destination, packet.source, kind, 0, 0))

    def serving(self, method: ForwardingMethod = NAT, **fields: object) -> tuple[Service, ...]:
        """TCP port 80 to 8080 and UDP port 53 to 5353 by nat; with the same port by another method."""
        return tuple(
            Service(
                name=protocol.value,
                listeners=(Listener(address=self.vip, port=LISTENERS[protocol], protocol=protocol),),
                scheduler="rr",
                method=method,
                destinations=(self.destination(protocol, method, **fields),),
            )
            for protocol in (TCP, UDP)
        )

    def destination(
        self, protocol: Protocol, method: ForwardingMethod = NAT, **fields: object
    ) -> Destination:
        """The real server."""
        port = (REAL_PORTS if method is NAT else LISTENERS)[protocol]
        return replace(Destination(address=self.real, port=port, weight=1), **fields)  # type: ignore[arg-type]


IPV4 = Net(
    version=4,
    client=ip_address("198.51.100.7"),
    vip=ip_address("192.0.2.10"),
    real=ip_address("10.0.1.21"),
    other_real=ip_address("10.0.1.22"),
    elsewhere=ip_address("203.0.113.99"),
    router=ip_address("192.168.255.1"),
)
IPV6 = Net(
    version=6,
    client=ip_address("2001:db8:9::7"),
    vip=ip_address("2001:db8::10"),
    real=ip_address("2001:db8:1::21"),
    other_real=ip_address("2001:db8:1::22"),
    elsewhere=ip_address("2001:db8:7::99"),
    router=ip_address("2001:db8:255::1"),
)


def in_both(table: Callable[[Net], Iterable[Row]]) -> list[Row]:
    """A table written once, in both families."""
    return [replace(row, name=f"{row.name} (IPv{net.version})") for net in (IPV4, IPV6) for row in table(net)]
