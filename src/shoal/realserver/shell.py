"""Make this host a real server by dr or tunnel, look whether it is one, and undo it. All three are idempotent."""

from collections.abc import Sequence
from ipaddress import ip_interface
from pathlib import Path

from shoal.errors import NotFoundError
from shoal.model import Address, Interface
from shoal.realserver.decapsulation import Decapsulation
from shoal.realserver.devices import KernelDevices
from shoal.realserver.tunnels import (
    Tunnel,
    devices,
    mtu_advice,
    openings,
    rp_filter,
    strict_paths,
    tunnel_faults,
)
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
from shoal.system import rtnetlink, sysctl

_LOOSE = "2"


class RealServer:
    """This network namespace. ``memory`` keeps the sysctls that were there before ``apply``; ``pins`` is a folder on
    a bpffs for the program that opens tunnels' packets."""

    def __init__(self, memory: Path, pins: Path) -> None:
        self._memory = memory
        self._decapsulation = Decapsulation(pins)
        self._devices = KernelDevices()
        self._netlink = rtnetlink.Netlink()
        self._names = {link.index: link.name for link in self._netlink.links()}

    def apply(self, wanted: Sequence[Address], tunnels: Sequence[Tunnel] = ()) -> None:
        """Have exactly these virtual addresses, and open exactly these tunnels. Raises KernelError or ForbiddenError.

        The sysctls come first, or for a moment this host would answer ARP for the addresses; and they go last.
        """
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        settings = sysctls(wanted, interfaces=self._interfaces())
        if settings:
            sysctl.set_remembered(settings, memory=self._memory)
        present = self._present()
        self._delete(superfluous(wanted, present))
        if not settings:
            sysctl.restore(self._memory)
        new = [ip_interface(address) for address in missing(wanted, present)]
        for error in self._netlink.add_addresses(self._on_loopback(new)):
            raise error
        self._open(wanted, tunnels)

    def check(self, wanted: Sequence[Address], tunnels: Sequence[Tunnel] = ()) -> tuple[Fault, ...]:
        """What is wrong; empty when everything is right. Changes nothing."""
        settings = sysctl.values(sysctls(wanted, interfaces=self._interfaces()))
        return faults(wanted, self._present(), settings) + self._check_tunnels(wanted, tunnels)

    def opened_by(self, tunnels: Sequence[Tunnel], wanted: Sequence[Address]) -> dict[Tunnel, str]:
        """``kernel`` (a device of it) or ``ebpf`` for each tunnel whose packets are opened."""
        needed = devices(tunnels, wanted)
        by_kernel = self._devices.opened(needed)
        rest = [each for each in tunnels if each not in by_kernel]
        attached, known = set(self._decapsulation.interfaces()), self._decapsulation.openings()
        by_program = {
            each
            for each in rest
            if openings([each], wanted) <= known
            and (needed_on := self._interfaces_of([each]))
            and attached.issuperset(needed_on)
        }
        return dict.fromkeys(by_program, "ebpf") | dict.fromkeys(by_kernel, "kernel")

    def advice(self, tunnels: Sequence[Tunnel]) -> tuple[str, ...]:
        """What is not wrong, and worth knowing: the room that tunnels take."""
        mtu = self._devices.mtu()
        return mtu_advice(tunnels, {name: mtu[name] for name in self._interfaces_of(tunnels)})

    def remove(self) -> tuple[str, ...]:
        """Take away what ``apply`` added and put the sysctls back; the addresses and devices that went."""
        ours = superfluous((), self._present())
        self._delete(ours)
        gone = [*map(str, (address.ip for address in ours)), *self._devices.remove()]
        if self._decapsulation.remove(self._indices()):
            gone.append("the BPF program")
        sysctl.restore(self._memory)
        return tuple(gone)

    def own_addresses(self) -> tuple[Address, ...]:
        """This host's addresses on its networks; without link-local IPv6 ones, which no configuration names."""
        return tuple(
            each.address.ip
            for each in self._present()
            if each.interface != LOOPBACK
            and not (each.address.version == 6 and each.address.ip.is_link_local)
        )

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def _interfaces(self) -> tuple[str, ...]:
        """The interfaces on which this host has an IPv4 address, by name: those where ARP is spoken."""
        names = {each.interface for each in self._present() if each.address.version == 4} - {LOOPBACK}
        return tuple(sorted(names))

    def _open(self, wanted: Sequence[Address], tunnels: Sequence[Tunnel]) -> None:
        """By the kernel's devices as far as it has them, by our own program else; and let the packets in."""
        by_kernel = self._devices.apply(devices(tunnels, wanted))
        rest = [each for each in tunnels if each not in by_kernel]
        interfaces = self._interfaces_of(rest)
        self._decapsulation.apply(openings(rest, wanted), interfaces=interfaces, present=self._indices())
        loosened = {rp_filter(name): _LOOSE for name in self._strict(tunnels)}
        sysctl.set_remembered(loosened, memory=self._memory)

    def _check_tunnels(self, wanted: Sequence[Address], tunnels: Sequence[Tunnel]) -> tuple[Fault, ...]:
        opened = self.opened_by(tunnels, wanted)
        idle = list(self._devices.superfluous(devices(tunnels, wanted)))
        if self._decapsulation.openings() - openings(tunnels, wanted):
            idle.append("the BPF program")
        return tunnel_faults(
            closed=[each for each in tunnels if each not in opened],
            strict=self._strict(tunnels),
            superfluous=idle,
        )

    def _strict(self, tunnels: Sequence[Tunnel]) -> tuple[str, ...]:
        """The interfaces that packets come out of a tunnel on, and that turn clients away."""
        interfaces = [*self._interfaces_of(tunnels), *self._devices.present()] if tunnels else []
        return strict_paths(interfaces, sysctl.values(map(rp_filter, ("all", *interfaces))))

    def _interfaces_of(self, tunnels: Sequence[Tunnel]) -> tuple[str, ...]:
        """The interfaces that hold the tunnels' addresses."""
        ends = {each.address for each in tunnels}
        names = {each.interface for each in self._present() if each.address.ip in ends}
        return tuple(sorted(names - {LOOPBACK}))

    def _indices(self) -> dict[str, int]:
        return {name: index for index, name in self._names.items()}

    def _present(self) -> tuple[Standing, ...]:
        return tuple(
            Standing(interface=self._names.get(each.index, ""), address=each.address, tag=each.protocol)
            for each in self._netlink.addresses()
        )

    def _delete(self, addresses: Sequence[Interface]) -> None:
        for error in self._netlink.delete_addresses(self._on_loopback(addresses)):
            raise error

    def _on_loopback(self, addresses: Sequence[Interface]) -> list[rtnetlink.Address]:
        index = next((index for index, name in self._names.items() if name == LOOPBACK), None)
        if index is None:
            raise NotFoundError(where=LOOPBACK, problem="there is no such interface", fix="ip link show")
        return [rtnetlink.Address(index=index, address=address, protocol=TAG) for address in addresses]
