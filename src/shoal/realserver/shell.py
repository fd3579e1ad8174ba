"""Make this host a real server for direct routing, look whether it is one, and undo it. All three are idempotent."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from shoal.errors import NotFoundError
from shoal.realserver.wanted import (
    LOOPBACK,
    TAG,
    Fault,
    Standing,
    faults,
    missing,
    superfluous,
    sysctls,
)
from shoal.system import sysctl
from shoal.system.rtnetlink import Address, Netlink


class RealServer:
    """This network namespace. ``memory`` keeps the sysctls that were there before ``apply``."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._netlink = Netlink()
        self._names = {link.index: link.name for link in self._netlink.links()}

    def apply(self, wanted: Sequence[IPv4Address]) -> None:
        """Have exactly these virtual addresses. Raises KernelError or ForbiddenError.

        The sysctls come first, or for a moment this host would answer ARP for the addresses.
        """
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        sysctl.set_remembered(sysctls(self._interfaces()), memory=self._memory)
        present = self._present()
        self._delete(superfluous(wanted, present))
        new = [IPv4Interface((address, 32)) for address in missing(wanted, present)]
        for error in self._netlink.add_addresses(self._on_loopback(new)):
            raise error

    def check(self, wanted: Sequence[IPv4Address]) -> tuple[Fault, ...]:
        """What is wrong; empty when everything is right. Changes nothing."""
        return faults(wanted, self._present(), sysctl.values(sysctls(self._interfaces())))

    def remove(self) -> tuple[str, ...]:
        """Take away what ``apply`` added and put the sysctls back; the addresses that went."""
        ours = superfluous((), self._present())
        self._delete(ours)
        sysctl.restore(self._memory)
        return tuple(str(address.ip) for address in ours)

    def own_addresses(self) -> tuple[IPv4Address, ...]:
        """This host's addresses on its networks."""
        return tuple(each.address.ip for each in self._present() if each.interface != LOOPBACK)

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def _interfaces(self) -> tuple[str, ...]:
        """The interfaces on which this host has an address, by name."""
        names = {each.interface for each in self._present()} - {LOOPBACK}
        return tuple(sorted(names))

    def _present(self) -> tuple[Standing, ...]:
        return tuple(
            Standing(interface=self._names.get(each.index, ""), address=each.address, tag=each.protocol)
            for each in self._netlink.addresses()
            if isinstance(each.address, IPv4Interface)
        )

    def _delete(self, addresses: Sequence[IPv4Interface]) -> None:
        for error in self._netlink.delete_addresses(self._on_loopback(addresses)):
            raise error

    def _on_loopback(self, addresses: Sequence[IPv4Interface]) -> list[Address]:
        index = next((index for index, name in self._names.items() if name == LOOPBACK), None)
        if index is None:
            raise NotFoundError(where=LOOPBACK, problem="there is no such interface", fix="ip link show")
        return [Address(index=index, address=address, protocol=TAG) for address in addresses]
