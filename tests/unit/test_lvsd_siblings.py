"""The daemon and its siblings: what they tell it, ask it and have it journal."""

import asyncio
from pathlib import Path

import pytest

from shoal.errors import NotFoundError, UnavailableError
from shoal.ipc.messages import (
    FailoverReply,
    FailoverRequest,
    Message,
    Record,
    RoleReport,
)
from shoal.system.channel import Channel
from support.clusters import TWO_ROUTERS
from support.lvsd_bench import DEADLINE, Bench, has_journalled, heard, report, running, until


def test_role_and_children_are_shown_as_they_come_and_go(tmp_path: Path) -> None:
    role = RoleReport(
        router="this",
        state="active",
        epoch=1,
        since=5.0,
        links={"public": True},
        addresses=("192.0.2.10/32",),
        peers=(),
        rejected={},
    )

    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            pulse = bench.sibling("pulse")
            pulse.send(role)

            async def shown(state: str, connected: bool) -> bool:
                status = await bench.lvsd.status()
                return (status.state, status.children["pulse"]) == (state, connected)

            await until(lambda: shown("active", True))
            pulse.close()
            await until(lambda: shown("active", False))

    asyncio.run(story())


def test_garbage_from_a_sibling_only_disconnects_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            nanny = bench.sibling("nanny")
            nanny._socket.send(b"\xc1 garbage")
            await until(lambda: nanny.receive() is None)
            nanny.close()
            again = bench.sibling("nanny")
            again.send(report(first="up", second="up"))
            await until(lambda: bench.available() == [True, True])
            again.close()

    asyncio.run(story())


def test_records_of_siblings_are_journalled_and_told_to_the_supervisor(tmp_path: Path) -> None:
    died = Record(at=9.0, source="nanny", event="real_server.down", cause="refused")

    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            supervisor, nanny = bench.sibling("supervisor"), bench.sibling("nanny")
            supervisor.send(Record(at=8.0, source="supervisor", event="child.started"))
            await until(lambda: has_journalled(bench, "child.started"))
            nanny.send(died)
            told: list[Message] = []
            await until(lambda: told.extend(supervisor.receive() or ()) is None and died in told)
            names = [each.event for each in told if isinstance(each, Record)]
            assert names[0] == "config.loaded"
            assert "lvsd.started" in names
            assert "child.started" not in names
            supervisor.close()
            nanny.close()

    asyncio.run(story())


def test_a_reader_who_waits_gets_the_next_entry_when_it_comes(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            await until(lambda: has_journalled(bench, "service.put"))
            last = (await bench.lvsd.events(after=None, limit=1, wait=0)).next
            waiting = asyncio.create_task(bench.lvsd.events(after=last, limit=10, wait=DEADLINE))
            nanny = bench.sibling("nanny")
            nanny.send(Record(at=9.0, source="nanny", event="real_server.up"))
            news = await waiting
            assert [(entry.seq, entry.event) for entry in news.events] == [(last + 1, "real_server.up")]
            empty = await bench.lvsd.events(after=news.next, limit=10, wait=0.001)
            assert (empty.events, empty.next) == ((), news.next)
            nanny.close()

    asyncio.run(story())


def test_a_failover_is_what_pulse_answers(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, TWO_ROUTERS)
        async with running(bench):
            with pytest.raises(NotFoundError, match="there is no router 'lb9'"):
                await bench.lvsd.failover(to="lb9")
            with pytest.raises(UnavailableError, match="pulse is not connected"):
                await bench.lvsd.failover(to="lb2")
            pulse = bench.sibling("pulse")
            await until(lambda: bench.lvsd._rendezvous.connected("pulse"))
            for accepted in (True, False):
                asking = asyncio.create_task(bench.lvsd.failover(to="lb2"))
                request = await heard(pulse, FailoverRequest)
                assert isinstance(request, FailoverRequest)
                assert request.to == "lb2"
                pulse.send(
                    FailoverReply(id=request.id, accepted=accepted, problem="lb2 is silent", fix="wait")
                )
                if accepted:
                    assert (await asking).accepted
                else:
                    with pytest.raises(UnavailableError, match="lb2 is silent"):
                        await asking
            pulse.close()

    asyncio.run(story())


@pytest.mark.parametrize(("remove", "last_call"), [(True, "remove"), (False, "close")])
def test_the_end_leaves_the_dataplane_forwarding_unless_it_is_to_go(
    tmp_path: Path, remove: bool, last_call: str
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        await bench.lvsd.start()
        task = asyncio.create_task(bench.lvsd.run(), name="lvsd")
        await until(lambda: bench.available() == [False, False])
        bench.lvsd.stop(remove=remove)
        await task
        assert bench.dataplane.calls == ["PutService www", last_call]
        assert Channel.connect(bench.places.ipc_socket) is None

    asyncio.run(story())
