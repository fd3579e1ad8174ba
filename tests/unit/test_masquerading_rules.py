"""Which rules masquerading asks for, and how lvsd keeps them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shoal.errors import ShoalError, UnavailableError
from shoal.lvsd.masquerading import rules
from shoal.lvsd.opening import Settings
from shoal.lvsd.shell import Lvsd
from shoal.system.nftables import OwnTable
from shoal.system.places import Places
from support.clusters import ONE_ROUTER, TWO_ROUTERS, cluster
from support.memory_dataplane import MemoryDataplane

GATEWAY = 'interface = "eth1"\ngateway = "10.0.1.1/24"\nmasquerade = true'
MASQUERADED = TWO_ROUTERS.replace('interface = "eth1"', GATEWAY)
ALONE = ONE_ROUTER.replace("[[virtual_servers]]", f"[paths.private]\n{GATEWAY}\n[[virtual_servers]]")


def expression(text: str, router: str) -> list[Any]:
    _, rule = rules(cluster(text), router=router)
    return rule["rule"]["expr"]  # type: ignore[no-any-return]


def test_without_masquerading_there_is_no_rule():
    assert rules(cluster(TWO_ROUTERS), router="lb1") == ()


def test_what_comes_from_the_gateways_network_and_leaves_by_the_public_interface_is_translated():
    chain, rule = rules(cluster(MASQUERADED), router="lb1")
    assert chain["chain"] == {
        "family": "inet",
        "table": "shoal",
        "name": "outbound",
        "type": "nat",
        "hook": "postrouting",
        "prio": 100,
        "policy": "accept",
    }
    source = {"payload": {"protocol": "ip", "field": "saddr"}}
    assert rule["rule"]["comment"] == "private: real servers to the public side"
    assert rule["rule"]["expr"] == [
        {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "eth0"}},
        {"match": {"op": "==", "left": source, "right": {"prefix": {"addr": "10.0.1.0", "len": 24}}}},
        {"snat": {"family": "ip", "addr": "192.0.2.11"}},
    ]


def test_each_router_translates_to_its_own_address():
    assert expression(MASQUERADED, "lb2")[-1] == {"snat": {"family": "ip", "addr": "192.0.2.12"}}


def test_a_router_without_a_configured_address_leaves_the_choice_to_the_kernel():
    assert expression(ALONE, "this")[-1] == {"masquerade": None}


class TableInMemory(OwnTable):
    """What was wanted last; it refuses when it is told to."""

    def __init__(self) -> None:
        super().__init__("shoal")
        self.standing: list[dict[str, Any]] = []
        self.refusal: ShoalError | None = None

    def keep(self, wanted: Sequence[dict[str, Any]]) -> bool:
        if self.refusal is not None:
            raise self.refusal
        before, self.standing = self.standing, list(wanted)
        return before != self.standing


class Daemon:
    """An lvsd over a table in memory."""

    def __init__(self, folder: Path, text: str) -> None:
        self.table = TableInMemory()
        self.file = folder / "shoal.toml"
        self.file.write_text(text)
        places = Places(run=folder / "run", state=folder / "state", pins=folder / "pins")
        settings = Settings(config=self.file, source=self.file, router="this", places=places)
        dataplane = MemoryDataplane()
        self.lvsd = Lvsd(settings, open_dataplane=lambda *_: dataplane, rules=self.table)

    async def until_journalled(self, event: str, *, remove: bool = False) -> None:
        """Run until the event, then stop; a real loop, and real threads."""
        await self.lvsd.start()
        running = asyncio.create_task(self.lvsd.run())
        try:
            async with asyncio.timeout(5):
                seen = 0
                while True:
                    news = await self.lvsd.events(after=seen, limit=100, wait=5)
                    seen = news.next
                    if any(entry.event == event for entry in news.events):
                        break
        finally:
            self.lvsd.stop(remove=remove)
            await running


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, ALONE)


def test_the_rules_stay_when_only_the_daemon_goes(daemon: Daemon):
    asyncio.run(daemon.until_journalled("masquerading.put"))
    assert tuple(daemon.table.standing) == rules(cluster(ALONE), router="this")


def test_the_rules_go_with_the_dataplane(daemon: Daemon):
    asyncio.run(daemon.until_journalled("masquerading.put", remove=True))
    assert daemon.table.standing == []


def test_what_a_predecessor_left_goes_when_it_is_not_configured_any_more(tmp_path: Path):
    daemon = Daemon(tmp_path, ONE_ROUTER)
    daemon.table.standing = list(rules(cluster(ALONE), router="this"))
    asyncio.run(daemon.until_journalled("masquerading.removed"))
    assert daemon.table.standing == []


def test_a_refusal_is_journalled_with_its_reason(daemon: Daemon):
    daemon.table.refusal = UnavailableError(where="nftables", problem="not on this kernel")
    asyncio.run(daemon.until_journalled("dataplane.failed"))
    assert daemon.table.standing == []
