"""What pulse tells ``lvsd`` about this router, and how often it complains."""

from collections.abc import Mapping

from shoal.ipc.messages import PeerView, RoleReport
from shoal.pulse.election import Election

COMPLAINT_GAP = 10.0  # seconds between two records of one reason


class RejectionLog:
    """Lets the first rejected heartbeat of each reason into the journal, then one in ten seconds."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def due(self, reason: str, now: float) -> bool:
        """Whether to record this one."""
        if reason in self._last and now < self._last[reason] + COMPLAINT_GAP:
            return False
        self._last[reason] = now
        return True


def role_report(
    election: Election, *, since: float, addresses: tuple[str, ...], rejected: Mapping[str, int]
) -> RoleReport:
    """The whole of what is known now. ``since`` is Unix time, seconds; digests are the first 16 bytes, in hex."""
    peers = []
    for peer in election.peers:
        report = peer.report
        peers.append(
            PeerView(
                name=peer.name,
                state="unknown" if report is None else str(report.state),
                priority=0 if report is None else report.priority,
                epoch=0 if report is None else report.epoch,
                paths_heard=peer.paths,
                config_serial=0 if report is None else report.config_serial,
                config_digest="" if report is None else report.config_digest.hex(),
            )
        )
    return RoleReport(
        router=election.settings.name,
        state=election.state.value,
        epoch=election.epoch,
        since=since,
        links=election.links.as_dict(),
        addresses=addresses,
        peers=tuple(peers),
        rejected=dict(rejected),
    )
