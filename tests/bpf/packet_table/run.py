"""Rows on the bench."""

import contextlib
import time
from collections.abc import Iterable, Iterator

from packet_table.row import (
    HELD,
    PASSED,
    ROUTER_MAC,
    Answered,
    Arrives,
    Dropped,
    Elapses,
    HandOverBegins,
    LeaseEnds,
    Outcome,
    OwnMac,
    Sent,
    Step,
)
from shoal.dataplane.base import PutService, Service
from shoal.model import Connection
from shoal.system.lease import Lease
from support.packet_bench import ANSWER, DROP, HOLD, PASS, SEND, PacketBench
from support.packets import DESTINATION_MAC

HANDOVER_NS = 60 * 10**9


@contextlib.contextmanager
def lease(bench: PacketBench) -> Iterator[Lease]:
    """The bench's lease."""
    opened = Lease.open(bench.pins)
    assert opened is not None
    try:
        yield opened
    finally:
        opened.close()


def prepare(bench: PacketBench, before: Iterable[Step]) -> None:
    """Bring an empty bench to where a row begins."""
    steps = tuple(before)
    settings = bench.dataplane._loaded.table("settings")[0]
    settings.n_macs = OwnMac() in steps
    settings.macs[0] = int.from_bytes(DESTINATION_MAC, "little")
    for step in steps:
        match step:
            case Service():
                bench.dataplane.apply([PutService(service=step)])
            case Arrives(frame):
                bench.send(frame)
            case Elapses(seconds):
                bench.advance(seconds)
            case LeaseEnds(addresses):
                with lease(bench) as held:
                    held.set_addresses(addresses)
                    held.renew(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 1)
            case HandOverBegins():
                with lease(bench) as held:
                    held.begin_handover(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + HANDOVER_NS)


def outcome_of(bench: PacketBench, frame: bytes) -> Outcome | str:
    """What becomes of a frame; words when it is none of what a row may say."""
    verdict, after, reason = bench.send(frame)
    if verdict == PASS:
        return PASSED if after == frame else f"passed, changed to {after.hex()}"
    if verdict == DROP and reason is not None:
        return Dropped(reason)
    if verdict == HOLD:
        return HELD
    if verdict == ANSWER and reason is not None:
        return Answered(reason, after)
    assert verdict == SEND
    if after[6:12] != bench.interface.mac:
        return f"sent from another MAC: {after.hex()}"
    return Sent(after[:6] + ROUTER_MAC + after[12:])


def connections(bench: PacketBench) -> list[Connection]:
    """All that there are."""
    return list(bench.dataplane.connections(limit=100))
