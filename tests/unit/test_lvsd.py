"""The daemon on a real loop, with a dataplane in memory and real sockets to its siblings."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from shoal.errors import ConfigError, ConfigErrors, KernelError
from shoal.lvsd.orders import DrainOrder, UndrainOrder
from support.clusters import ONE_ROUTER
from support.lvsd_bench import Bench, has_journalled, report, running, until
from support.memory_dataplane import MemoryDataplane


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
            await until(lambda: has_journalled(second, "lvsd.started"))
            assert "dataplane.adopted" in await second.events()
            assert second.available() == [True, False]
            assert "PutService www" not in second.dataplane.calls

    asyncio.run(story())


def test_the_journal_goes_on_where_the_last_one_stopped_and_is_on_disk(tmp_path: Path) -> None:
    async def story() -> None:
        for _ in range(2):
            async with running(Bench(tmp_path)) as bench:
                await until(lambda bench=bench: has_journalled(bench, "service.put"))  # type: ignore[misc]
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
