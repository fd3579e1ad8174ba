"""Every row of the packet table cut short at every byte, and changed at random: no abort, and nobody else's."""

import itertools
import random
from collections.abc import Iterator

import pytest
from packet_table import KINDS
from packet_table.mutations import mutate
from packet_table.oracle import Router, unlike, whole_until
from packet_table.row import Row, Step
from packet_table.run import connections, prepare

from shoal.dataplane.base import Service
from shoal.dataplane.ebpf.libbpf import run_packet
from shoal.model import ForwardingMethod
from support.namespaces import inside
from support.packet_bench import ANSWER, DROP, HOLD, PASS, SEND, PacketBench

PASSES = {"shoal_xdp": 2, "shoal_tc": 0}
ERROR_HEADERS = {4: 28, 6: 48}
TUNNEL_HEADERS = 52  # IPv6, UDP and GUE
MUTATIONS = 8  # of each row, with each seed


def by_history(rows: list[Row]) -> Iterator[tuple[tuple[Step, ...], list[Row]]]:
    """Rows that begin alike, together."""
    ordered = sorted(rows, key=lambda row: repr(row.before))
    for _, group in itertools.groupby(ordered, key=lambda row: repr(row.before)):
        found = list(group)
        yield found[0].before, found


def shortest(bench: PacketBench, frame: bytes) -> int:
    """The shortest frame that the kernel takes for a test run: for TC it wants whole IP headers."""
    headers = {b"\x08\x00": 34, b"\x86\xdd": 54}
    return headers.get(frame[12:14], 14) if bench.program == "shoal_tc" else 14


def entries(bench: PacketBench) -> set[tuple[object, ...]]:
    """The connections, without how long they will live."""
    return {(each.client, each.virtual, each.real, each.state) for each in connections(bench)}


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_lost_a_byte_of_its_packet_goes_to_the_host_and_changes_nothing(
    bench: PacketBench, kind: str
):
    for before, rows in by_history(KINDS[kind]):
        bench.reset()
        prepare(bench, before)
        known = entries(bench)
        with inside(bench.namespace):
            program = bench.dataplane._loaded.program(bench.program)
            for row in rows:
                for length in range(shortest(bench, row.frame), whole_until(row.frame)):
                    cut = row.frame[:length]
                    assert run_packet(program, cut) == (PASSES[bench.program], cut), (row.name, length)
        assert entries(bench) == known, kind


@pytest.mark.parametrize("seed", [1, 2], ids=lambda seed: f"seed-{seed}")
@pytest.mark.parametrize("kind", KINDS)
def test_no_mutation_is_treated_wrongly(bench: PacketBench, kind: str, seed: int):
    for before, rows in by_history(KINDS[kind]):
        bench.reset()
        prepare(bench, before)
        router = Router.after(before)
        tunnels = any(isinstance(step, Service) and step.method is ForwardingMethod.TUNNEL for step in before)
        for row in rows:
            chance = random.Random(f"{seed} {row.name}")
            for _ in range(MUTATIONS):
                frame = mutate(row.frame, chance)
                frame += bytes(max(0, shortest(bench, frame) - len(frame)))
                judge(bench, router, frame, tunnels=tunnels)


def judge(bench: PacketBench, router: Router, frame: bytes, *, tunnels: bool) -> None:
    """Send a frame; its verdict must be one of the four, and no more of it changed than that verdict allows."""
    known = connections(bench)
    verdict, after, _ = bench.send(frame)
    if verdict == PASS:
        assert after == frame
        return
    assert router.may_be_ours(frame, known), (verdict, frame.hex())
    if verdict == DROP:
        return
    if verdict == HOLD:
        assert after == frame
        return
    if verdict == ANSWER:
        version = frame[14] >> 4
        assert len(after) <= len(frame) + ERROR_HEADERS[version]
        quote = after[14 + ERROR_HEADERS[version] :]
        assert frame[14:].startswith(quote), (frame.hex(), after.hex())
        return
    assert verdict == SEND
    if tunnels:
        assert len(after) <= len(frame) + TUNNEL_HEADERS
        return
    assert len(after) == len(frame)
    assert not unlike(frame, after, router), (unlike(frame, after, router), frame.hex(), after.hex())
