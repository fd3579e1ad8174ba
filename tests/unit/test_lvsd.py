"""The daemon on a real loop, with a dataplane in memory and real sockets to its siblings."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shoal.errors import ConfigError, ConfigErrors, KernelError, NotFoundError, UnavailableError
from shoal.ipc.messages import (
    FailoverReply,
    FailoverRequest,
    HealthReport,
    Hello,
    Message,
    Record,
    RoleReport,
    TargetHealth,
)
from shoal.lvsd.opening import Settings
from shoal.lvsd.orders import DrainOrder, UndrainOrder
from shoal.lvsd.shell import Lvsd
from shoal.model import Cluster
from shoal.system.channel import Channel
from shoal.system.places import Places
from support.clusters import ONE_ROUTER, TWO_ROUTERS
from support.memory_dataplane import MemoryDataplane

DEADLINE = 5.0


class Bench:
    """An lvsd that runs, and what is around it."""

    def __init__(self, folder: Path, text: str = ONE_ROUTER) -> None:
        self.places = Places(run=folder / "run", state=folder / "state", pins=folder / "pins")
        self.file = folder / "shoal.toml"
        self.file.write_text(text)
        self.dataplane = MemoryDataplane()
        self.opened: list[Cluster] = []
        settings = Settings(config=self.file, source=self.file, router="this", places=self.places)
        self.lvsd = Lvsd(settings, open_dataplane=self.open)

    def open(self, cluster: Cluster, _router: str, _places: Places) -> MemoryDataplane:
        """As the backend does."""
        self.opened.append(cluster)
        return self.dataplane

    def sibling(self, child: str) -> Channel:
        """A connected sibling that has said who it is."""
        channel = Channel.connect(self.places.ipc_socket)
        assert channel is not None
        channel.send(Hello(child=child, pid=1))  # type: ignore[arg-type]
        return channel

    async def events(self) -> list[str]:
        """The names of the journal's entries."""
        return [entry.event for entry in (await self.lvsd.events(after=None, limit=1000, wait=0)).events]

    def available(self) -> list[bool]:
        """Which real servers of www the dataplane gives connections to."""
        www = self.dataplane.services.get("www")
        return [] if www is None else [each.available for each in www.destinations]


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    await bench.lvsd.start()
    task = asyncio.create_task(bench.lvsd.run(), name="lvsd")
    try:
        yield bench
    finally:
        bench.lvsd.stop()
        await task


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for it, a while at most."""
    async with asyncio.timeout(DEADLINE):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.001)


def report(**healths: str) -> HealthReport:
    """Health of 10.0.1.21 (``first``) and 10.0.1.22 (``second``)."""
    endpoints = {"first": "10.0.1.21:80", "second": "10.0.1.22:80"}
    return HealthReport(
        config_digest="",
        targets=tuple(
            TargetHealth(
                virtual_server="www",
                real_server=endpoints[name],
                health=health,  # type: ignore[arg-type]
                reason="",
                since=1.0,
            )
            for name, health in healths.items()
        ),
    )


async def heard(channel: Channel, kind: type[Message]) -> Message:
    """The first message of a kind."""
    found: list[Message] = []

    def look() -> bool:
        found.extend(each for each in channel.receive() or () if isinstance(each, kind))
        return bool(found)

    await until(look)
    return found[0]


def test_services_are_installed_at_once_and_wait_for_health(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            await until(lambda: bench.available() == [False, False])
            await until(lambda: bench.dataplane.calls == ["PutService www"])

    asyncio.run(story())


def test_a_drain_reaches_the_dataplane_and_the_journal_and_outlives_the_process(tmp_path: Path) -> None:
    first = {"virtual_server": "www", "real_server": "10.0.1.21:80"}

    def drains(bench: Bench) -> list[tuple[bool, bool]]:
        www = bench.dataplane.services.get("www")
        return [] if www is None else [(each.draining, each.cut) for each in www.destinations]

    async def order() -> None:
        async with running(Bench(tmp_path)) as bench:
            await bench.lvsd.drain(DrainOrder(**first, deadline=0.05, cut=True))
            await until(lambda: drains(bench) == [(True, False), (False, False)])
            await until(lambda: drains(bench) == [(True, True), (False, False)])

            async def told() -> bool:
                return "real_server.drain_deadline" in await bench.events()

            await until(told)

    async def take_back() -> None:
        async with running(Bench(tmp_path)) as bench:
            await until(lambda: drains(bench) == [(True, True), (False, False)])
            ((www,),) = ((await bench.lvsd.servers()).virtual_servers,)
            assert [each.state for each in www.real_servers] == ["drain", "in"]
            await bench.lvsd.undrain(UndrainOrder(**first))
            await until(lambda: drains(bench) == [(False, False), (False, False)])

    asyncio.run(order())
    asyncio.run(take_back())


def test_health_takes_effect_within_20_ms(tmp_path: Path) -> None:
    async def story() -> float:
        async with running(Bench(tmp_path)) as bench:
            await until(lambda: bench.available() == [False, False])
            nanny = bench.sibling("nanny")
            delays = []
            for first in ("up", "down") * 5:
                begin = time.monotonic()
                nanny.send(report(first=first, second="up"))
                await until(lambda wanted=first: bench.available() == [wanted == "up", True])  # type: ignore[misc]
                delays.append(time.monotonic() - begin)
            nanny.close()
            return sorted(delays)[len(delays) // 2]

    assert asyncio.run(story()) < 0.020


def test_what_a_predecessor_installed_goes_on_until_health_is_known(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as first:
            nanny = first.sibling("nanny")
            nanny.send(report(first="up", second="down"))
            await until(lambda: first.available() == [True, False])
            nanny.close()
        second = Bench(tmp_path)
        second.dataplane = first.dataplane
        second.dataplane.calls.clear()
        async with running(second):
            await until(lambda: _has(second, "lvsd.started"))
            assert "dataplane.adopted" in await second.events()
            assert second.available() == [True, False]
            assert "PutService www" not in second.dataplane.calls

    asyncio.run(story())


async def _has(bench: Bench, event: str) -> bool:
    return event in await bench.events()


def test_the_journal_goes_on_where_the_last_one_stopped_and_is_on_disk(tmp_path: Path) -> None:
    async def story() -> None:
        for _ in range(2):
            async with running(Bench(tmp_path)) as bench:
                await until(lambda bench=bench: _has(bench, "service.put"))  # type: ignore[misc]
        lines = [json.loads(line) for line in bench.places.journal.read_bytes().splitlines()]
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert [line["event"] for line in lines].count("lvsd.started") == 2
        assert {line["router"] for line in lines} == {"this"}

    asyncio.run(story())


def test_a_reload_takes_the_new_file(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            bench.file.write_text(ONE_ROUTER.replace('"10.0.1.22:80"', '"10.0.1.23:80"').replace("7", "8", 1))
            answer = await bench.lvsd.reload()
            assert (answer.serial, answer.changed) == (8, True)
            await until(lambda: str(bench.dataplane.services["www"].destinations[1].address) == "10.0.1.23")
            assert len(bench.opened) == 1

    asyncio.run(story())


def test_a_wrong_file_changes_nothing_and_its_errors_are_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            await until(lambda: bench.available() == [False, False])
            bench.file.write_text(ONE_ROUTER.replace("10.0.1.21:80", "10.0.1.21:0").replace("www", "w w"))
            with pytest.raises(ConfigErrors) as refusal:
                await bench.lvsd.reload()
            assert len(refusal.value.errors) == 2
            bench.lvsd.request_reload()
            await until(lambda: _count(bench, "config.refused", 2))
            assert list(bench.dataplane.services) == ["www"]
            (alarm,) = [each for each in (await bench.lvsd.status()).alarms if "refused" in each]
            assert alarm.startswith("the last reload was refused: ")
            bench.file.write_text(ONE_ROUTER)
            await bench.lvsd.reload()
            assert not [each for each in (await bench.lvsd.status()).alarms if "refused" in each]

    asyncio.run(story())


async def _count(bench: Bench, event: str, count: int) -> bool:
    return (await bench.events()).count(event) == count


def test_another_interface_opens_the_dataplane_anew(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            bench.file.write_text(ONE_ROUTER.replace("eth0", "eth7"))
            await bench.lvsd.reload()
            assert [each.paths[0].interface for each in bench.opened] == ["eth0", "eth7"]
            assert "close" not in bench.dataplane.calls

    asyncio.run(story())


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("max_connections", 262_144),
        ("max_connections_ipv6", 65_536),
        ("max_virtual_servers", 256),
        ("max_real_servers", 4096),
        ("max_templates", 65_536),
    ],
)
def test_another_table_size_is_refused_because_connections_would_be_lost(
    tmp_path: Path, key: str, size: int
) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            bench.file.write_text(f"{ONE_ROUTER}[dataplane]\n{key} = 2000\n")
            with pytest.raises(ConfigError, match=f"^dataplane.{key}: .* from {size} while they are in use"):
                await bench.lvsd.reload()
            assert len(bench.opened) == 1

    asyncio.run(story())


def test_a_dataplane_that_cannot_be_opened_anew_leaves_the_old_one(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        async with running(bench):

            def refuse(*_arguments: object) -> MemoryDataplane:
                raise KernelError(errno=95, problem="no XDP here", where="eth7", fix="use hook = 'tc'")

            bench.lvsd._open_dataplane = refuse
            bench.file.write_text(ONE_ROUTER.replace("eth0", "eth7"))
            with pytest.raises(Exception, match="no XDP here"):
                await bench.lvsd.reload()
            assert (await bench.lvsd.status()).config.serial == 7
            assert (await bench.lvsd.servers()).virtual_servers[0].installed

    asyncio.run(story())


def test_a_service_that_is_refused_holds_up_no_other_and_is_told_once(tmp_path: Path) -> None:
    two = (
        ONE_ROUTER
        + '[[virtual_servers]]\nname = "aaa"\nlisten = ["192.0.2.11:80/tcp"]\nreal_servers = ["10.0.1.21:80"]\n'
    )

    async def story() -> None:
        bench = Bench(tmp_path, two)
        bench.dataplane.refuse.add("aaa")
        async with running(bench):
            await until(lambda: "www" in bench.dataplane.services)
            nanny = bench.sibling("nanny")
            for health in ("up", "down"):
                nanny.send(report(first=health, second="up"))
                await until(lambda health=health: bench.available() == [health == "up", True])  # type: ignore[misc]
            nanny.close()
            assert (await bench.events()).count("dataplane.failed") == 1
            assert (
                "dataplane: aaa: cannot install the service: Argument list too long\n  fix: use fewer"
                in (await bench.lvsd.status()).alarms
            )

    asyncio.run(story())


def test_someone_else_s_change_is_put_right_at_the_next_look(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(Bench(tmp_path)) as bench:
            await until(lambda: bench.available() == [False, False])
            bench.dataplane.services.clear()
            nanny = bench.sibling("nanny")
            nanny.send(report(first="up", second="up"))
            await until(lambda: bench.available() == [True, True])
            nanny.close()

    asyncio.run(story())


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
            await until(lambda: _has(bench, "child.started"))
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
            await until(lambda: _has(bench, "service.put"))
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
