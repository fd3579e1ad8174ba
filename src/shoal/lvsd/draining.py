"""What the operator wants of real servers, beside the configuration: draining and maintenance. Pure.

A real server that drains gets no new connections, not even of clients that persistence would send to it. That ends
when it has no connection left, which the journal says; or at a deadline, when those that are left are cut, or stay
open, as the operator said. Maintenance cuts them at once. Either lasts until the operator takes it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from shoal.errors import NotFoundError, PeerError
from shoal.ipc.messages import Record
from shoal.lvsd.orders import DrainOrder
from shoal.lvsd.reconcile import TargetKey, target_key
from shoal.model import AdminState, Cluster

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """``since`` and ``deadline`` are Unix time in seconds; deadline 0: none. ``told``: what the journal has had."""

    state: AdminState
    since: float
    deadline: float = 0.0
    cut: bool = False
    told: Literal["", "over", "left"] = ""

    def cuts(self, now: float) -> bool:
        """Whether its connections are ended."""
        return self.state is AdminState.MAINTENANCE or (self.cut and 0 < self.deadline <= now)


Drains = Mapping[TargetKey, Drain]


def ordered(order: DrainOrder, cluster: Cluster, *, now: float) -> Drain:
    """What the operator asks for. An order without a deadline has that of the virtual server, if it has one."""
    state, wait, cut = AdminState(order.state), order.deadline, order.cut
    if wait is None:
        limits = {each.name: each.drain_timeout for each in cluster.virtual_servers}
        wait = 0.0 if state is AdminState.MAINTENANCE else float(limits[order.virtual_server])
        cut = cut or wait > 0
    return Drain(state=state, since=now, deadline=now + wait if wait else 0.0, cut=cut)


def wanted(drains: Drains, now: float) -> dict[TargetKey, bool]:
    """The real servers that get no new connections, and whether those that they have are ended."""
    return {key: drain.cuts(now) for key, drain in drains.items()}


def next_change(drains: Drains, now: float) -> float | None:
    """Seconds until a deadline has passed that nobody was told of; None when there is none."""
    waits = [max(0.0, drain.deadline - now) for drain in drains.values() if drain.deadline and not drain.told]
    return min(waits, default=None)


def progress(
    drains: Drains, flows: Mapping[TargetKey, int], *, now: float
) -> tuple[dict[TargetKey, Drain], list[Record]]:
    """The same drains, and what the journal should say of them. ``flows`` are the connections left of each."""
    after, records = dict(drains), []
    for key, drain in drains.items():
        left = flows.get(key)
        if left == 0 and drain.told != "over":
            after[key] = replace(drain, told="over")
            records.append(_record(key, "real_server.drained", cause="0 flows left", now=now, left=0))
        elif left and drain.told != "left" and 0 < drain.deadline <= now:
            after[key] = replace(drain, told="left")
            what = "they are cut" if drain.cuts(now) else "they stay open"
            records.append(_record(key, "real_server.drain_deadline", cause=what, now=now, left=left))
    return after, records


def state_record(key: TargetKey, state: AdminState, *, now: float) -> Record:
    """The operator has said what is wanted of a real server."""
    fields: dict[str, str | int | float | bool] = {"virtual_server": key[0], "real_server": key[1]}
    fields["state"] = str(state)
    cause = "the operator asked for it"
    return Record(at=now, source="lvsd", event="real_server.state", cause=cause, fields=fields)


def _record(key: TargetKey, event: str, *, cause: str, now: float, left: int) -> Record:
    fields: dict[str, str | int | float | bool] = {
        "virtual_server": key[0],
        "real_server": key[1],
        "flows": left,
    }
    return Record(at=now, source="lvsd", event=event, cause=cause, fields=fields)


def target_of(cluster: Cluster, virtual_server: str, real_server: str) -> TargetKey:
    """A real server by its name or endpoint. Raises NotFoundError naming those that there are."""
    servers = {each.name: each for each in cluster.virtual_servers}
    if virtual_server not in servers:
        raise NotFoundError(
            problem=f"there is no virtual server {virtual_server!r}",
            where="virtual_server",
            fix=f"one of: {', '.join(sorted(servers))}",
        )
    here = servers[virtual_server].real_servers
    for each in here:
        if real_server in (each.name, each.endpoint):
            return target_key(servers[virtual_server], each)
    raise NotFoundError(
        problem=f"{virtual_server} has no real server {real_server!r}",
        where="real_server",
        fix=f"one of: {', '.join(each.name for each in here)}",
    )


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    virtual_server: str
    real_server: str
    state: AdminState
    since: float
    deadline: float
    cut: bool
    told: Literal["", "over", "left"]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    drains: list[_Row]


def encode(drains: Drains) -> bytes:
    """The content of the file that keeps them."""
    rows = [
        _Row(*key, drain.state, drain.since, drain.deadline, drain.cut, drain.told)
        for key, drain in sorted(drains.items())
    ]
    return msgspec.json.format(msgspec.json.encode(_File(_VERSION, rows))) + b"\n"


def decode(content: bytes) -> dict[TargetKey, Drain]:
    """What the file holds. PeerError: it is torn, or of another version; then nobody drains."""
    try:
        found = msgspec.json.decode(content, type=_File)
    except msgspec.MsgspecError as error:
        raise PeerError(problem=f"the list of drains is unreadable: {error}", where="drains.json") from error
    if found.version != _VERSION:
        problem = f"the list of drains has version {found.version}, expected {_VERSION}"
        raise PeerError(problem=problem, where="drains.json")
    return {
        (row.virtual_server, row.real_server): Drain(
            state=row.state, since=row.since, deadline=row.deadline, cut=row.cut, told=row.told
        )
        for row in found.drains
    }
