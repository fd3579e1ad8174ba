"""What lvsd shows of a router that is doing well, for tests of the views, the API and the command line."""

from dataclasses import replace

from shoal.dataplane.base import DataplaneState
from shoal.errors import NotFoundError
from shoal.ipc.messages import PeerView, RoleReport, TargetHealth
from shoal.lvsd import view
from shoal.lvsd.journal import Entry
from shoal.lvsd.orders import DrainOrder, DrainView, UndrainOrder
from support.clusters import TWO_ROUTERS, cluster
from support.memory_dataplane import CONNECTION, TEMPLATE, MemoryDataplane

NOW = 1_800_000_000.0

_CLUSTER = cluster(TWO_ROUTERS)

PEER = PeerView(
    name="lb2",
    state="backup",
    priority=100,
    epoch=3,
    paths_heard=("public", "private"),
    config_serial=7,
    config_digest=_CLUSTER.digest.hex()[:32],
)

ROLE = RoleReport(
    router="lb1",
    state="active",
    epoch=3,
    since=NOW - 90,
    links={"public": True, "private": True},
    addresses=("192.0.2.10/32",),
    peers=(PEER,),
    rejected={"replayed": 2},
)


def target(endpoint: str, health: str, reason: str = "") -> TargetHealth:
    """Health of a real server of www for a minute."""
    return TargetHealth(
        virtual_server="www",
        real_server=endpoint,
        health=health,  # type: ignore[arg-type]
        reason=reason,
        since=NOW - 60,
    )


def snapshot(**changes: object) -> view.Snapshot:
    """An active router with one real server up and one down."""
    dataplane = MemoryDataplane()
    well = view.Snapshot(
        cluster=_CLUSTER,
        router="lb1",
        file="/etc/shoal/shoal.toml",
        role=ROLE,
        children={"pulse": True, "nanny": True},
        health={
            ("www", "10.0.1.21:80"): target("10.0.1.21:80", "up"),
            ("www", "10.0.1.22:80"): target("10.0.1.22:80", "down", "HTTP 503, expected 200-399"),
        },
        dataplane="memory",
        attachments=dataplane.attachments(),
        installed=DataplaneState(),
        counters=dataplane.counters(),
    )
    return replace(well, **changes)  # type: ignore[arg-type]


EVENTS = (
    Entry(
        seq=41,
        at=NOW - 90,
        router="lb1",
        source="pulse",
        event="router.active",
        cause="lb2 resigned",
        fields={"epoch": 3},
    ),
    Entry(
        seq=42,
        at=NOW - 60,
        router="lb1",
        source="nanny",
        event="real_server.down",
        cause="HTTP 503, expected 200-399",
        fields={"virtual_server": "www", "real_server": "10.0.1.22:80"},
    ),
)


class ShownLvsd:
    """Shows a snapshot; keeps what it was asked to do in ``asked``."""

    def __init__(self, shown: view.Snapshot | None = None) -> None:
        self.shown = shown or snapshot()
        self.asked: list[str] = []

    async def status(self) -> view.StatusView:
        """Of the snapshot."""
        return view.status(self.shown)

    async def servers(self) -> view.ServersView:
        """Of the snapshot."""
        return view.servers(self.shown)

    async def connections(self, *, limit: int) -> view.ConnectionsView:
        """One connection."""
        self.asked.append(f"connections limit={limit}")
        return view.ConnectionsView(connections=(view.connection(CONNECTION),), held=1, limit=1024)

    async def templates(self, *, limit: int) -> view.TemplatesView:
        """One template."""
        self.asked.append(f"templates limit={limit}")
        return view.TemplatesView(templates=(view.template(TEMPLATE),))

    async def events(self, *, after: int | None, limit: int, wait: float) -> view.EventsView:
        """The two events."""
        self.asked.append(f"events after={after} limit={limit} wait={wait:g}")
        found = tuple(entry for entry in EVENTS if entry.seq > (after or 0))[:limit]
        return view.EventsView(events=found, next=found[-1].seq if found else after or 0)

    async def failover(self, *, to: str) -> view.FailoverView:
        """Only lb2 is known."""
        self.asked.append(f"failover to={to!r}")
        if to not in ("", "lb2"):
            raise NotFoundError(problem=f"there is no router {to!r}", where="to", fix="one of: lb1, lb2")
        return view.FailoverView(accepted=True)

    async def drain(self, order: DrainOrder) -> DrainView:
        """Said yes to."""
        self.asked.append(
            f"drain {order.real_server} {order.state} deadline={order.deadline} cut={order.cut}"
        )
        return DrainView(virtual_server="www", real_server=order.real_server, state=order.state)

    async def undrain(self, order: UndrainOrder) -> DrainView:
        """Said yes to."""
        self.asked.append(f"undrain {order.real_server}")
        return DrainView(virtual_server="www", real_server=order.real_server, state="in")

    async def reload(self) -> view.ReloadView:
        """Another serial."""
        self.asked.append("reload")
        return view.ReloadView(serial=8, digest="ab" * 32, changed=True)
