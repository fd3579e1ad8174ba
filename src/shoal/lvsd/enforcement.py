"""Making the dataplane what it should be, and looking at what it is.

The calls block for as long as the dataplane's do; the shell runs them in a thread.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shoal.dataplane.base import (
    Attachment,
    Counters,
    Dataplane,
    DataplaneState,
    PutService,
    SetTimeouts,
    Step,
)
from shoal.dataplane.plan import plan
from shoal.errors import ShoalError
from shoal.ipc.messages import Record
from shoal.lvsd import view
from shoal.lvsd.reconcile import Memory, TargetKey, desired, target_key
from shoal.model import Cluster, Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The steps that were carried out, and the errors of those that were not."""

    done: tuple[Step, ...] = ()
    failures: tuple[ShoalError, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the dataplane is and has counted."""

    attachments: tuple[Attachment, ...]
    installed: DataplaneState
    counters: Counters


def enforce(
    dataplane: Dataplane,
    *,
    cluster: Cluster,
    health: Mapping[TargetKey, Health],
    drains: Mapping[TargetKey, bool] | None = None,
    memory: Memory | None = None,
) -> Outcome:
    """Compare and apply, step by step, so that one virtual server that is refused holds up no other."""
    try:
        actual = dataplane.actual()
        wanted = desired(cluster, health=health, actual=actual, drains=drains, memory=memory)
        steps = plan(wanted, actual)
    except ShoalError as error:
        return Outcome(failures=(error,))
    done: list[Step] = []
    failures: list[ShoalError] = []
    for step in steps:
        try:
            dataplane.apply((step,))
        except ShoalError as error:
            failures.append(error)
        else:
            done.append(step)
    return Outcome(done=tuple(done), failures=tuple(failures))


def observe(dataplane: Dataplane) -> Observation:
    """One look at everything that status and servers show."""
    return Observation(
        attachments=dataplane.attachments(), installed=dataplane.actual(), counters=dataplane.counters()
    )


def flows_left(dataplane: Dataplane, cluster: Cluster, names: Collection[str]) -> dict[TargetKey, int]:
    """Connections of every real server of these virtual servers right now."""
    return {
        target_key(virtual_server, each): left
        for virtual_server in cluster.virtual_servers
        if virtual_server.name in names
        for flows in (dataplane.flows(virtual_server.name),)
        for each in virtual_server.real_servers
        if (left := flows.get((each.address, each.port))) is not None
    }


def list_connections(dataplane: Dataplane, *, limit: int) -> view.ConnectionsView:
    """Some of the connections held."""
    entries = tuple(map(view.connection, dataplane.connections(limit=limit)))
    counters = dataplane.counters()
    return view.ConnectionsView(connections=entries, held=counters.held, limit=counters.limit)


def list_templates(dataplane: Dataplane, *, limit: int) -> view.TemplatesView:
    """Some of the persistence templates in force."""
    return view.TemplatesView(templates=tuple(map(view.template, dataplane.templates(limit=limit))))


def step_record(step: Step, *, at: float) -> Record:
    """The journal's line for a step that was carried out."""
    if isinstance(step, SetTimeouts):
        return Record(at=at, source="lvsd", event="timeouts.set", cause="; ".join(step.changes), fields={})
    if isinstance(step, PutService):
        cause, event, name = "; ".join(step.changes), "service.put", step.service.name
    else:
        cause, event, name = "no longer in the configuration", "service.removed", step.name
    return Record(at=at, source="lvsd", event=event, cause=cause, fields={"virtual_server": name})


def opening_records(observation: Observation, *, at: float) -> list[Record]:
    """The journal's lines for a dataplane that was opened: what it found there, and where it is attached."""
    records = []
    if observation.installed.services:
        found: dict[str, str | int | float | bool] = {
            "virtual_servers": len(observation.installed.services),
            "connections": observation.counters.held,
        }
        cause = "a predecessor left it forwarding"
        records.append(Record(at=at, source="lvsd", event="dataplane.adopted", cause=cause, fields=found))
    for each in observation.attachments:
        where: dict[str, str | int | float | bool] = {"interface": each.interface, "hook": each.hook}
        records.append(
            Record(at=at, source="lvsd", event="dataplane.attached", cause=each.reason, fields=where)
        )
    return records
