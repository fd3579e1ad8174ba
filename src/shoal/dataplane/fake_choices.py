"""Which real server a new connection of the dataplane in memory gets."""

from collections.abc import Callable

from shoal.dataplane.base import Destination
from shoal.dataplane.fake_entries import Chosen, Endpoint, Installed
from shoal.dataplane.fake_persistence import Templates
from shoal.dataplane.packet import Packet
from shoal.dataplane.tally import Tally
from shoal.schedulers import Load, Request, rendezvous


class Choices:
    """By the client's template, by the scheduler, or by what every router works out alike."""

    def __init__(
        self, *, templates: Templates, tally: Callable[[str, Endpoint], Tally], chance: Callable[[], int]
    ) -> None:
        self._templates = templates
        self._tally = tally
        self._chance = chance

    def persistently(
        self, installed: Installed, packet: Packet, *, loosely: bool, now: float
    ) -> Chosen | None:
        """Where the client's template sends it; or the scheduler, or (``loosely``) what any router chooses."""
        service = installed.service
        kept = self._templates.recall(service, packet.source, now=now)
        if kept is not None and service.persistence is not None:
            method = self._tally(service.name, kept).method_for(service.persistence)
            if method is not None:
                return kept, method, True
            self._templates.release(service, packet.source, kept)
        choose = self.by_rendezvous if loosely else self._by_scheduler
        destination = choose(installed, packet, now=now)
        if destination is None:
            return None
        is_kept = self._templates.make(service, packet.source, destination.endpoint, now=now)
        if service.persistence is not None and not is_kept:
            installed.unpersisted += 1
        return destination.endpoint, service.method_of(destination), is_kept

    def by_rendezvous(self, installed: Installed, packet: Packet, *, now: float) -> Destination | None:
        """What any router chooses, whatever it remembers."""
        index = rendezvous.choose(self._loads(installed), self._request(packet, now))
        return None if index is None else installed.service.destinations[index]

    def _by_scheduler(self, installed: Installed, packet: Packet, *, now: float) -> Destination | None:
        """The scheduler's choice by the loads of this moment."""
        loads, request = self._loads(installed), self._request(packet, now)
        index = installed.scheduler.choose(loads, request)
        return None if index is None else installed.service.destinations[index]

    def _loads(self, installed: Installed) -> list[Load]:
        """The destinations as a scheduler sees them at this moment."""
        destinations = installed.service.destinations
        tallies = [self._tally(installed.service.name, each.endpoint) for each in destinations]
        return [tally.load_of(each) for each, tally in zip(destinations, tallies, strict=True)]

    def _request(self, packet: Packet, now: float) -> Request:
        return Request(
            client=packet.source,
            client_port=packet.source_port,
            virtual_address=packet.destination,
            chance=(self._chance(), self._chance()),
            now=now,
        )
