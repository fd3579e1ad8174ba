"""What the dataplane should be: ``desired = f(configuration, health, what is installed)``. Pure.

A real server takes new connections only while its health is up. Where health is not known (``nanny`` has not
spoken since ``lvsd`` started), what is installed is the last thing that was known, so it stays; a server that
was never installed waits for its first pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from shoal.dataplane.base import DataplaneState, Destination, Service
from shoal.ipc.messages import TargetHealth
from shoal.model import Address, AdminState, Cluster, Health, RealServer, VirtualServer

TargetKey = tuple[str, str]
"""Name of a virtual server, and the endpoint (``address:port``) of one of its real servers."""


def target_key(virtual_server: VirtualServer, real_server: RealServer) -> TargetKey:
    """The identity under which a real server's health is kept."""
    return virtual_server.name, real_server.endpoint


def health_by_target(targets: Iterable[TargetHealth]) -> dict[TargetKey, TargetHealth]:
    """A health report by target."""
    return {(target.virtual_server, target.real_server): target for target in targets}


def known_health(targets: Iterable[TargetHealth]) -> dict[TargetKey, Health]:
    """What a health report says of every target, for ``desired``."""
    return {(target.virtual_server, target.real_server): Health(target.health) for target in targets}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A service as it was worked out, and all that it was worked out from. ``keys`` are its real servers'."""

    virtual_server: VirtualServer
    keys: tuple[TargetKey, ...]
    health: Mapping[TargetKey, Health]
    known: list[Health]
    drains: Mapping[TargetKey, bool]
    service: Service


Memory = dict[str, Kept]
"""By virtual server. What has not changed since is not worked out again, and one look tells that it has not."""


def desired(
    cluster: Cluster,
    *,
    health: Mapping[TargetKey, Health],
    actual: DataplaneState,
    drains: Mapping[TargetKey, bool] | None = None,
    memory: Memory | None = None,
) -> DataplaneState:
    """The state that the dataplane should have, for ``shoal.dataplane.plan`` to compare with ``actual``.

    ``drains`` are the real servers that the operator drains, and whether their connections are cut. ``memory`` is
    brought up to date; with one, nobody changes ``health`` afterwards: the same mapping says the same.
    """
    drained: dict[str, dict[TargetKey, bool]] = {}
    for key, cut in (drains or {}).items():
        drained.setdefault(key[0], {})[key] = cut
    before = {} if memory is None else memory
    kept = {
        virtual_server.name: _kept(
            virtual_server,
            before.get(virtual_server.name),
            health=health,
            installed=actual.services.get(virtual_server.name),
            drains=drained.get(virtual_server.name, {}),
        )
        for virtual_server in cluster.virtual_servers
    }
    if memory is not None:
        memory.clear()
        memory.update(kept)
    services = {name: each.service for name, each in kept.items()}
    return DataplaneState(services=services, timeouts=dict(cluster.timeouts))


def _kept(
    virtual_server: VirtualServer,
    last: Kept | None,
    *,
    health: Mapping[TargetKey, Health],
    installed: Service | None,
    drains: Mapping[TargetKey, bool],
) -> Kept:
    if (
        last is not None
        and last.virtual_server is virtual_server
        and last.health is health
        and last.service is installed
        and last.drains == drains
    ):
        return last  # as it is most of the time; where health is unknown, what is installed stays
    if (
        last is not None
        and last.virtual_server is not virtual_server
        and last.virtual_server != virtual_server
    ):
        last = None
    keys = (
        last.keys if last else tuple(target_key(virtual_server, each) for each in virtual_server.real_servers)
    )
    same_report = last is not None and last.health is health
    known = last.known if last and same_report else list(map(health.get, keys, repeat(Health.UNKNOWN)))
    if last and last.known == known and last.drains == drains and Health.UNKNOWN not in known:
        service = last.service
    else:
        cuts = list(map(drains.get, keys))
        service = _service(virtual_server, known=known, installed=installed, cuts=cuts)
    if installed is not None and service is not installed and service == installed:
        service = installed  # the same object, so that nobody has to compare them again
    return Kept(
        virtual_server=virtual_server, keys=keys, health=health, known=known, drains=drains, service=service
    )


def _drain(real_server: RealServer, cut: bool | None) -> tuple[bool, bool]:
    """Whether a real server drains, and whether its connections are cut: by the configuration or the operator.

    ``cut``: what the operator wants; None when the operator wants nothing.
    """
    return (
        cut is not None or real_server.state is not AdminState.IN,
        bool(cut) or real_server.state is AdminState.MAINTENANCE,
    )


def _service(
    virtual_server: VirtualServer,
    *,
    known: Sequence[Health],
    installed: Service | None,
    cuts: Sequence[bool | None],
) -> Service:
    return Service(
        name=virtual_server.name,
        listeners=virtual_server.listeners,
        scheduler=virtual_server.scheduler,
        scheduler_flags=virtual_server.scheduler_flags,
        method=virtual_server.method,
        mss_clamp=virtual_server.mss_clamp,
        persistence=virtual_server.persistence,
        on_removal=virtual_server.on_removal,
        on_down=virtual_server.on_down,
        drain_timeout=virtual_server.drain_timeout,
        marks=virtual_server.marks,
        one_packet=virtual_server.one_packet,
        sloppy=virtual_server.sloppy,
        admission=virtual_server.admission,
        destinations=_destinations(virtual_server, known=known, installed=installed, cuts=cuts),
    )


def _destinations(
    virtual_server: VirtualServer,
    *,
    known: Sequence[Health],
    installed: Service | None,
    cuts: Sequence[bool | None],
) -> tuple[Destination, ...]:
    before: dict[tuple[Address, int], bool] = {}
    if installed is not None and Health.UNKNOWN in known:
        before = {entry.endpoint: entry.available for entry in installed.destinations}
    return tuple(
        Destination(
            address=real_server.address,
            port=real_server.port,
            weight=0 if draining else real_server.weight,
            available=state is Health.UP
            or (state is Health.UNKNOWN and before.get((real_server.address, real_server.port), False)),
            method=real_server.method,
            encap=virtual_server.encap_of(real_server),
            encap_port=virtual_server.encap_port_of(real_server),
            upper_threshold=real_server.upper_threshold,
            lower_threshold=real_server.lower_threshold,
            draining=draining,
            cut=cut,
        )
        for real_server, state, order in zip(virtual_server.real_servers, known, cuts, strict=True)
        for draining, cut in (_drain(real_server, order),)
    )
