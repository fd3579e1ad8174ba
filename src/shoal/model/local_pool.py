"""What a router calls itself towards real servers under forwarding method fullnat."""

from dataclasses import dataclass

from shoal.model.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPool:
    """Addresses of this router, and the ports of each that connections may take."""

    addresses: tuple[Address, ...]
    ports: range

    def of_family(self, version: int) -> tuple[Address, ...]:
        """The addresses of IPv4 or of IPv6."""
        return tuple(address for address in self.addresses if address.version == version)
