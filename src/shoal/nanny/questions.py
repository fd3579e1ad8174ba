"""What is to be asked, and on whose behalf. Pure.

Virtual servers that ask the same question of the same address share one probe and one state of health.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.model import (
    Address,
    Cluster,
    HttpProbe,
    Probe,
    ProgramProbe,
    Protocol,
    RealServer,
    SendExpectProbe,
    VirtualServer,
    endpoint,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A probe of one address and port, and its rhythm. ``protocol`` is what ``send_expect`` talks.

    Intervals and timeouts are seconds.
    """

    address: Address
    port: int
    protocol: Protocol
    probe: Probe
    interval: float
    timeout: float
    rise: int
    fall: int

    @property
    def identity(self) -> str:
        """The question without its rhythm, the same in every process: what health is remembered by."""
        return f"{endpoint(self.address, self.port)}/{self.protocol} {_wording(self.probe)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A real server of a virtual server whose health hangs on a question."""

    virtual_server: str
    real_server: str
    endpoint: str


def questions(cluster: Cluster) -> Mapping[Question, tuple[Asker, ...]]:
    """Every question of a configuration, in its order, with all who ask it."""
    asked: dict[Question, tuple[Asker, ...]] = {}
    for virtual_server in cluster.virtual_servers:
        for real_server in virtual_server.real_servers:
            question = _question(virtual_server, real_server)
            asker = Asker(
                virtual_server=virtual_server.name,
                real_server=real_server.name,
                endpoint=real_server.endpoint,
            )
            asked[question] = (*asked.get(question, ()), asker)
    return asked


def _question(virtual_server: VirtualServer, real_server: RealServer) -> Question:
    monitor = virtual_server.monitor
    return Question(
        address=real_server.address,
        port=monitor.port or real_server.port,
        protocol=_protocol(virtual_server),
        probe=monitor.probe,
        interval=monitor.interval,
        timeout=monitor.timeout,
        rise=monitor.rise,
        fall=monitor.fall,
    )


def _protocol(virtual_server: VirtualServer) -> Protocol:
    """UDP only for ``send_expect`` where every listener is UDP.

    A plain connect proves nothing over UDP, so the other probes go by TCP also for virtual servers that serve
    UDP.
    """
    if not isinstance(virtual_server.monitor.probe, SendExpectProbe):
        return Protocol.TCP
    only_udp = all(listener.protocol is Protocol.UDP for listener in virtual_server.listeners)
    return Protocol.UDP if only_udp else Protocol.TCP


def _wording(probe: Probe) -> str:
    match probe:
        case HttpProbe():
            scheme = "https" if probe.tls else "http"
            verify = " verify" if probe.verify else ""
            return f"{scheme} {probe.path} host={probe.host} statuses={probe.statuses}{verify}"
        case SendExpectProbe():
            return f"send_expect {probe.send!r} {probe.expect!r} {probe.regex!r}"
        case ProgramProbe():
            return f"program {probe.command!r}"
        case _:
            return "tcp"
