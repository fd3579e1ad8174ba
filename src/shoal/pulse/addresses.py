"""The floating addresses and the tracked links of this router, in the kernel."""

from dataclasses import dataclass

from shoal.errors import KernelError
from shoal.model import Address, Cluster
from shoal.pulse.floating import TAG, Changes, Place, Present, acquire, holds_all, release
from shoal.system import rtnetlink
from shoal.system.announcer import Announcer
from shoal.system.rtnetlink import Link, Netlink

_ANNOUNCED_BY = {4: "gratuitous ARP", 6: "unsolicited neighbour advertisements"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was changed, and what the kernel refused."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    errors: tuple[KernelError, ...] = ()


class FloatingAddresses:
    """Puts the floating addresses on this router, takes them away, and announces them.

    ``names`` are the addresses in words.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._netlink = Netlink()
        self._announcer = Announcer()
        self.names: tuple[str, ...] = ()
        self.configure(cluster)
        self._links: dict[str, Link] = {}
        self.refresh_links()

    def configure(self, cluster: Cluster) -> None:
        """Serve another configuration from the next call on."""
        self._cluster = cluster
        self.names = tuple(str(address) for address in self.all_addresses())

    def refresh_links(self) -> None:
        """Read the links anew."""
        self._links = {link.name: link for link in self._netlink.links()}

    def link(self, path: str) -> Link | None:
        """The link that a path uses, if its interface exists."""
        found = self._cluster.path(path)
        return None if found is None else self._links.get(found.interface)

    def link_states(self) -> tuple[tuple[str, bool], ...]:
        """Whether the link of each path is up."""
        links = ((path.name, self._links.get(path.interface)) for path in self._cluster.paths)
        return tuple((name, link is not None and link.up) for name, link in links)

    def all_addresses(self) -> tuple[Address, ...]:
        """Every floating address of the configuration."""
        return tuple(floating.address.ip for group in self._cluster.groups for floating in group.addresses)

    def held(self) -> bool:
        """Whether a predecessor left all of them configured."""
        return holds_all(self._desired(), self._present())

    def any_left(self) -> bool:
        """Whether one of them is on this router, whoever put it there."""
        here = {present.place.address.ip for present in self._present()}
        return not here.isdisjoint(self.all_addresses())

    def acquire(self) -> Applied:
        """Have exactly the configured addresses."""
        return self._apply(acquire(self._desired(), self._present()))

    def release(self) -> Applied:
        """Have none of ours."""
        return self._apply(release(self._present()))

    def announce(self) -> int:
        """One frame for each address on every path; how many went out."""
        sent = 0
        for path in self._cluster.paths:
            link = self._links.get(path.interface)
            addresses = [
                floating.address.ip
                for group in self._cluster.groups
                for floating in group.addresses
                if floating.path == path.name
            ]
            if link is not None and link.up and len(link.mac) == 6:
                sent += self._announcer.announce(interface=link.name, mac=link.mac, addresses=addresses)
        return sent

    @property
    def announced_by(self) -> str:
        """How the addresses are announced, in words."""
        versions = sorted({address.version for address in self.all_addresses()})
        return " and ".join(_ANNOUNCED_BY[version] for version in versions)

    def close(self) -> None:
        """Close the sockets; addresses stay as they are."""
        self._netlink.close()
        self._announcer.close()

    def _desired(self) -> tuple[Place, ...]:
        """Where each address belongs. One whose interface does not exist has no place now."""
        return tuple(
            Place(index=link.index, address=floating.address)
            for group in self._cluster.groups
            for floating in group.addresses
            if (link := self.link(floating.path)) is not None
        )

    def _present(self) -> tuple[Present, ...]:
        return tuple(
            Present(place=Place(index=found.index, address=found.address), protocol=found.protocol)
            for found in self._netlink.addresses()
        )

    def _apply(self, changes: Changes) -> Applied:
        errors = self._netlink.delete_addresses(_tagged(changes.remove))
        errors += self._netlink.add_addresses(_tagged(changes.add))
        return Applied(
            added=_words(changes.add),
            removed=_words(changes.remove),
            foreign=_words(changes.foreign),
            errors=errors,
        )


def _tagged(places: tuple[Place, ...]) -> list[rtnetlink.Address]:
    return [rtnetlink.Address(index=place.index, address=place.address, protocol=TAG) for place in places]


def _words(places: tuple[Place, ...]) -> tuple[str, ...]:
    return tuple(str(place.address) for place in places)
