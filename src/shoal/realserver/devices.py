"""The kernel's own tunnel devices, by iproute2. Ours are marked by their alias; others are never touched."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from shoal.errors import UnavailableError
from shoal.realserver.tunnels import Device, Tunnel

_ALIAS = "shoal realserver:"


class KernelDevices:
    """The tunnel devices of this network namespace that Shoal made."""

    def apply(self, wanted: Mapping[Tunnel, tuple[Device, ...]]) -> frozenset[Tunnel]:
        """Have exactly these; the tunnels that the kernel opens now. One without devices, or one that this kernel
        has no device for, is not among them."""
        for name in self.superfluous(wanted):
            _ip("link", "del", name)
        return frozenset(each for each, needed in wanted.items() if needed and self._make(needed))

    def opened(self, wanted: Mapping[Tunnel, tuple[Device, ...]]) -> frozenset[Tunnel]:
        """Of these tunnels those whose devices are there."""
        there = self.present()
        return frozenset(
            each
            for each, needed in wanted.items()
            if needed and all(there.get(device.name) == _alias(device) for device in needed)
        )

    def superfluous(self, wanted: Mapping[Tunnel, tuple[Device, ...]]) -> tuple[str, ...]:
        """Devices of ours that none of these tunnels needs."""
        needed = {device.name: _alias(device) for each in wanted.values() for device in each}
        return tuple(name for name, alias in self.present().items() if needed.get(name) != alias)

    def present(self) -> dict[str, str]:
        """Our devices with their aliases."""
        return {
            str(link["ifname"]): str(link["ifalias"])
            for link in _links()
            if str(link.get("ifalias", "")).startswith(_ALIAS)
        }

    def mtu(self) -> dict[str, int]:
        """The MTU of every interface."""
        return {str(link["ifname"]): int(link["mtu"]) for link in _links()}

    def remove(self) -> tuple[str, ...]:
        """Delete our devices; their names."""
        gone = tuple(self.present())
        for name in gone:
            _ip("link", "del", name)
        return gone

    def _make(self, needed: tuple[Device, ...]) -> bool:
        there = self.present()
        made: list[str] = []
        for device in needed:
            if device.name in there:
                continue
            if _ip("link", "add", device.name, *device.arguments) is None:
                for name in made:
                    _ip("link", "del", name)
                return False
            made.append(device.name)
            _ip("link", "set", device.name, "alias", _alias(device), "up")
        return True


def _alias(device: Device) -> str:
    return " ".join((_ALIAS, *device.arguments))


def _links() -> list[dict[str, Any]]:
    shown = _ip("-json", "link", "show")
    found: list[dict[str, Any]] = json.loads(shown or "[]")
    return found


def _ip(*arguments: str) -> str | None:
    """iproute2's output; None when it (or the kernel) refuses."""
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UnavailableError(
            where="ip", problem="iproute2 is not installed", fix="apt-get install iproute2"
        ) from error
    return done.stdout if done.returncode == 0 else None
