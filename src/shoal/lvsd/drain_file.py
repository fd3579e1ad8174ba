"""The drains in force: the operator's orders, and the file that keeps them over a restart."""

from collections.abc import Mapping
from pathlib import Path

from shoal.errors import PeerError
from shoal.ipc.messages import Record
from shoal.lvsd.draining import Drains, decode, encode, ordered, progress, state_record, target_of
from shoal.lvsd.orders import DrainOrder, DrainView, UndrainOrder
from shoal.lvsd.reconcile import TargetKey
from shoal.model import AdminState, Cluster
from shoal.system.atomic import write_atomically

Ordered = tuple[DrainView, Record]
"""What the operator is answered, and what the journal says."""


class DrainFile:
    """``current`` is what the file holds. ``trouble``: why it could not be read or written; empty when all is well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trouble = ""
        self.current: Drains = {}
        try:
            self.current = decode(path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, PeerError) as error:
            self.trouble = str(error)

    def drain(self, order: DrainOrder, cluster: Cluster, *, now: float) -> Ordered:
        """Let a real server drain from now on. Raises NotFoundError."""
        key = target_of(cluster, order.virtual_server, order.real_server)
        drain = ordered(order, cluster, now=now)
        self._keep({**self.current, key: drain})
        return _answered(key, drain.state, now=now)

    def undrain(self, order: UndrainOrder, cluster: Cluster, *, now: float) -> Ordered:
        """Let a real server have new connections again. Raises NotFoundError."""
        key = target_of(cluster, order.virtual_server, order.real_server)
        self._keep({each: drain for each, drain in self.current.items() if each != key})
        return _answered(key, AdminState.IN, now=now)

    def follow(self, flows: Mapping[TargetKey, int], *, now: float) -> list[Record]:
        """What the journal should say, given the connections that are left."""
        after, records = progress(self.current, flows, now=now)
        self._keep(after)
        return records

    def _keep(self, drains: Drains) -> None:
        """They are also in force where the file cannot be written, until the process ends."""
        if drains == self.current:
            return
        self.current = drains
        try:
            write_atomically(self._path, encode(drains))
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror}"
        else:
            self.trouble = ""


def _answered(key: TargetKey, state: AdminState, *, now: float) -> Ordered:
    answer = DrainView(virtual_server=key[0], real_server=key[1], state=str(state))
    return answer, state_record(key, state, now=now)
