"""Dataplanes under the contract tests, each behind the same small adapter.

A dataplane that takes bytes derives from ``FramesUnderTest`` and is entered in ``DATAPLANES``.
"""

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

from shoal.dataplane.base import Dataplane, Drop
from shoal.dataplane.fake import FakeDataplane
from shoal.dataplane.packet import Action, Packet, Verdict
from support.outer_headers import encode_outer, open_tunnel
from support.packet_bench import ANSWER, DROP, HOLD, MAX_TEMPLATES, PASS, SEND, PacketBench, packet_bench
from support.packets import INTACT, Damage, decode_packet, encode_packet
from support.translation import TranslatedDataplane, packet_to_ipv6, verdict_to_ipv4


class DataplaneUnderTest(ABC):
    """A dataplane, a way to send it packets, and its clock."""

    dataplane: Dataplane

    @abstractmethod
    def send(self, packet: Packet) -> Verdict:
        """What becomes of a packet now."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let time pass, as far as connections are concerned."""

    @abstractmethod
    def released(self) -> list[Verdict]:
        """What has become of packets that waited, since the last call."""

    @abstractmethod
    def close(self) -> None:
        """Take away whatever was installed."""


class FramesUnderTest(DataplaneUnderTest):
    """A dataplane that takes Ethernet frames. Every frame that it forwards must be right in each checksum."""

    @abstractmethod
    def send_frame(self, frame: bytes) -> tuple[Action, bytes, Drop | None]:
        """What becomes of a frame: the action, the frame afterwards, and the reason of a drop."""

    def send(self, packet: Packet) -> Verdict:
        """Send the packet as a frame, and read what comes out."""
        return self.send_damaged(packet, INTACT)

    def send_damaged(self, packet: Packet, damage: Damage) -> Verdict:
        """Send a packet with something wrong in its frame."""
        frame = encode_packet(packet, damage=damage)
        return self._verdict(frame, *self.send_frame(frame))

    def _verdict(self, frame: bytes, action: Action, result: bytes, reason: Drop | None) -> Verdict:
        if action is not Action.FORWARD:
            if action is Action.PASS:
                assert result == frame, "a packet that is not ours was changed"
            return Verdict(action=action, reason=reason)
        outer, inside = open_tunnel(result)
        decoded = decode_packet(inside)
        assert decoded.ip_checksum_ok
        assert decoded.l4_checksum_ok
        return Verdict(action=action, packet=replace(decoded.packet, outer=outer))


class FakeUnderTest(DataplaneUnderTest):
    """The fake, by objects."""

    def __init__(self) -> None:
        self.dataplane: FakeDataplane = FakeDataplane(max_templates=MAX_TEMPLATES)
        self._now = 1000.0

    def send(self, packet: Packet) -> Verdict:
        """Forward the packet now."""
        return self.dataplane.forward(packet, now=self._now)

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._now += seconds
        self.dataplane.advance(self._now)

    def released(self) -> list[Verdict]:
        """As the fake says."""
        return self.dataplane.uncommon.take_released()

    def close(self) -> None:
        """Forget everything."""
        self.dataplane.remove()


class FakeByFramesUnderTest(FramesUnderTest):
    """The fake, by frames: proves that a packet survives its encoding."""

    def __init__(self) -> None:
        self._fake = FakeUnderTest()
        self.dataplane = self._fake.dataplane

    def send_frame(self, frame: bytes) -> tuple[Action, bytes, Drop | None]:
        """Forward the packet that the frame holds."""
        verdict = self._fake.send(decode_packet(frame).packet)
        result = (
            frame if verdict.packet is None else encode_outer(encode_packet(verdict.packet), verdict.packet)
        )
        return verdict.action, result, verdict.reason

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._fake.advance(seconds)

    def released(self) -> list[Verdict]:
        """As the fake says."""
        return self._fake.released()

    def close(self) -> None:
        """Forget everything."""
        self._fake.close()


class EbpfUnderTest(FramesUnderTest):
    """The programs of the eBPF dataplane, fed by BPF_PROG_TEST_RUN. The bench is built once and emptied each time."""

    def __init__(self, program: str) -> None:
        self._bench = _bench(program)
        self._bench.reset()
        self.dataplane = self._bench.dataplane

    def send_frame(self, frame: bytes) -> tuple[Action, bytes, Drop | None]:
        """Run the program on the frame, and the TC program on what XDP lets pass, as on an interface."""
        verdict, result, reason = self._bench.send(frame)
        if verdict == PASS and self._bench.program == "shoal_xdp":
            verdict, result, reason = self._bench.send(frame, program="shoal_tc")
        return _ACTIONS[verdict], result, reason

    def advance(self, seconds: float) -> None:
        """Bring every deadline nearer."""
        self._bench.advance(seconds)

    def released(self) -> list[Verdict]:
        """What came in again."""
        found = [
            self._verdict(frame, _ACTIONS[verdict], frame, reason)
            for verdict, frame, reason in self._bench.released
        ]
        self._bench.released.clear()
        return found

    def close(self) -> None:
        """Leave the bench for the next."""


class InIpv6UnderTest(DataplaneUnderTest):
    """Another one under test, which is given everything in IPv6."""

    def __init__(self, inner: DataplaneUnderTest) -> None:
        self._inner = inner
        self.dataplane = TranslatedDataplane(inner.dataplane)

    def send(self, packet: Packet) -> Verdict:
        """Send the same packet in IPv6; what comes out, in IPv4."""
        return verdict_to_ipv4(self._inner.send(packet_to_ipv6(packet)))

    def advance(self, seconds: float) -> None:
        """Let time pass there."""
        self._inner.advance(seconds)

    def released(self) -> list[Verdict]:
        """What came out, in IPv4."""
        return [verdict_to_ipv4(each) for each in self._inner.released()]

    def close(self) -> None:
        """Take that one away."""
        self._inner.close()


_opened = contextlib.ExitStack()


@functools.cache
def _bench(program: str) -> PacketBench:
    return _opened.enter_context(packet_bench(program))


def close_benches() -> None:
    """Take the benches down, after the last test."""
    _opened.close()
    _bench.cache_clear()


_ACTIONS = {
    PASS: Action.PASS,
    DROP: Action.DROP,
    ANSWER: Action.DROP,
    SEND: Action.FORWARD,
    HOLD: Action.HOLD,
}

DATAPLANES: dict[str, Callable[[], DataplaneUnderTest]] = {
    "fake": FakeUnderTest,
    "fake-frames": FakeByFramesUnderTest,
    "ebpf-xdp": lambda: EbpfUnderTest("shoal_xdp"),
    "ebpf-tc": lambda: EbpfUnderTest("shoal_tc"),
    "fake-ipv6": lambda: InIpv6UnderTest(FakeUnderTest()),
    "fake-frames-ipv6": lambda: InIpv6UnderTest(FakeByFramesUnderTest()),
    "ebpf-xdp-ipv6": lambda: InIpv6UnderTest(EbpfUnderTest("shoal_xdp")),
    "ebpf-tc-ipv6": lambda: InIpv6UnderTest(EbpfUnderTest("shoal_tc")),
}
"""What the contract tests run against: each call makes a fresh one for 1,024 connections."""
