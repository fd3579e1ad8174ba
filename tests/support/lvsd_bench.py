"""An lvsd on a real loop, with a dataplane in memory and real sockets to its siblings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from shoal.ipc.messages import (
    HealthReport,
    Hello,
    Message,
    TargetHealth,
)
from shoal.lvsd.opening import Settings
from shoal.lvsd.shell import Lvsd
from shoal.model import Cluster
from shoal.system.channel import Channel
from shoal.system.places import Places
from support.clusters import ONE_ROUTER
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


async def has_journalled(bench: Bench, event: str) -> bool:
    return event in await bench.events()
