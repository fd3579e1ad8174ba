"""Fragments and ICMP errors in the fake dataplane: made into plain packets where they can be, and sent on."""

from collections.abc import Callable
from dataclasses import replace

from shoal.dataplane.base import Drop, Service
from shoal.dataplane.fake_entries import Endpoint, Entry
from shoal.dataplane.fake_fragments import Fragments
from shoal.dataplane.fake_related import find_related, rewritten
from shoal.dataplane.fake_ways import Ways
from shoal.dataplane.packet import PASS, Action, Packet, Verdict, forward
from shoal.dataplane.tally import Tally
from shoal.model import Address, ForwardingMethod


class UncommonPackets:
    """In front of a dataplane that knows plain packets: ``judge`` says what becomes of one."""

    def __init__(
        self,
        *,
        judge: Callable[[Packet], Verdict],
        find: Callable[..., Entry | None],
        drop: Callable[[str, Drop], Verdict],
        tally: Callable[[str, Endpoint], Tally],
        ways: Ways,
    ) -> None:
        self._judge = judge
        self._find = find
        self._drop = drop
        self._tally = tally
        self._ways = ways
        self._fragments = Fragments()
        self._released: list[Verdict] = []
        self._addresses: set[Address] = set()

    def note(self, service: Service) -> None:
        """Know the addresses of a service and of its real servers: only fragments of those are kept."""
        self._addresses |= {each.address for each in service.listeners}
        self._addresses |= {each.address for each in service.destinations}

    def forward(self, packet: Packet, *, now: float) -> Verdict:
        """What becomes of a packet of any kind."""
        if packet.quote is not None:
            return self._relate(packet)
        if packet.protocol is None:
            return PASS
        if self._addresses.isdisjoint((packet.source, packet.destination)):
            return PASS
        if packet.fragment_offset:
            return self._forward_later(packet, now=now)
        verdict = self._judge(packet)
        if packet.more_fragments:
            self._fragments.tell(packet, now=now)
            self._end_waiting(packet, now=now)
        return verdict

    def sweep(self, *, now: float) -> None:
        """Drop what has waited in vain."""
        for _ in self._fragments.sweep(now=now):
            self._drop("", Drop.FRAGMENT_WITHOUT_FIRST)

    def take_released(self) -> list[Verdict]:
        """The verdicts on fragments that waited, since the last call."""
        found, self._released = self._released, []
        return found

    def _forward_later(self, packet: Packet, *, now: float) -> Verdict:
        """A later fragment goes where its first went, or waits for it."""
        whole = self._fragments.told(packet, now=now)
        if whole is None:
            self._fragments.hold(packet, now=now)
            return Verdict(action=Action.HOLD)
        verdict = self._judge(whole)
        if verdict.packet is None:
            return verdict
        return forward(replace(verdict.packet, source_port=0, destination_port=0))

    def _end_waiting(self, first: Packet, *, now: float) -> None:
        """The fragments that have waited for this one come after it."""
        for packet, deadline in self._fragments.release(first):
            if deadline <= now:
                self._drop("", Drop.FRAGMENT_WITHOUT_FIRST)
            else:
                self._released.append(self._forward_later(packet, now=now))

    def _relate(self, packet: Packet) -> Verdict:
        """An ICMP error goes where the packet came from that it quotes. It moves neither state nor deadline."""
        found = find_related(packet, self._find)
        if found is None:
            return PASS
        entry, to_server = found
        if entry.method is ForwardingMethod.LOCAL:
            return PASS
        if packet.ttl <= 1:
            return self._drop(entry.service, Drop.TTL_EXCEEDED)
        key = entry.service, entry.destination
        if not self._ways.fits(packet, key, entry.method):
            return self._drop(entry.service, Drop.PACKET_TOO_BIG)
        self._tally(*key).add(packet.length, inwards=to_server)
        if entry.method in (ForwardingMethod.DR, ForwardingMethod.TUNNEL):
            return forward(self._ways.onward(packet, key, entry.method))
        return forward(rewritten(packet, entry, to_server=to_server))
