"""What the dataplane should be: ``desired = f(configuration, health, what is installed)``. Pure.

A real server takes new connections only while its health is up. Where health is not known (``nanny`` has not
spoken since ``lvsd`` started), what is installed is the last thing that was known, so it stays; a server that
was never installed waits for its first pass.
"""

from collections.abc import Iterable, Mapping

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


def desired(
    cluster: Cluster,
    *,
    health: Mapping[TargetKey, Health],
    actual: DataplaneState,
    drains: Mapping[TargetKey, bool] | None = None,
) -> DataplaneState:
    """The state that the dataplane should have, for ``shoal.dataplane.plan`` to compare with ``actual``.

    ``drains`` are the real servers that the operator drains, and whether their connections are cut.
    """
    return DataplaneState(
        services={
            virtual_server.name: _service(
                virtual_server,
                health=health,
                installed=actual.services.get(virtual_server.name),
                drains=drains or {},
            )
            for virtual_server in cluster.virtual_servers
        },
        timeouts=dict(cluster.timeouts),
    )


def _drain(
    virtual_server: VirtualServer, real_server: RealServer, drains: Mapping[TargetKey, bool]
) -> tuple[bool, bool]:
    """Whether a real server drains, and whether its connections are cut: by the configuration or the operator."""
    cut = drains.get(target_key(virtual_server, real_server))
    return (
        cut is not None or real_server.state is not AdminState.IN,
        bool(cut) or real_server.state is AdminState.MAINTENANCE,
    )


def _service(
    virtual_server: VirtualServer,
    *,
    health: Mapping[TargetKey, Health],
    installed: Service | None,
    drains: Mapping[TargetKey, bool],
) -> Service:
    known = [
        health.get(target_key(virtual_server, each), Health.UNKNOWN) for each in virtual_server.real_servers
    ]
    before: dict[tuple[Address, int], bool] = {}
    if installed is not None and Health.UNKNOWN in known:
        before = {entry.endpoint: entry.available for entry in installed.destinations}
    return Service(
        name=virtual_server.name,
        listeners=virtual_server.listeners,
        scheduler=virtual_server.scheduler,
        scheduler_flags=virtual_server.scheduler_flags,
        method=virtual_server.method,
        mss_clamp=virtual_server.mss_clamp,
        persistence=virtual_server.persistence,
        cut_removed=virtual_server.cut_removed,
        cut_down=virtual_server.cut_down,
        marks=virtual_server.marks,
        one_packet=virtual_server.one_packet,
        sloppy=virtual_server.sloppy,
        admission=virtual_server.admission,
        destinations=tuple(
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
            for real_server, state in zip(virtual_server.real_servers, known, strict=True)
            for draining, cut in (_drain(virtual_server, real_server, drains),)
        ),
    )
