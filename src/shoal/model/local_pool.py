"""What a router calls itself towards real servers under forwarding method fullnat."""

from collections.abc import Iterable
from dataclasses import dataclass

from shoal.model.address import Address

_PUBLIC = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPool:
    """Addresses of this router, and the ports of each that connections may take."""

    addresses: tuple[Address, ...]
    ports: range

    def of_family(self, version: int) -> tuple[Address, ...]:
        """The addresses of IPv4 or of IPv6."""
        return tuple(address for address in self.addresses if address.version == version)


def local_addresses(given: Iterable[Address], fixed: Iterable[tuple[str, Address]]) -> tuple[Address, ...]:
    """What a router's fullnat connections come from: of each family those given, else its fixed ones.

    ``fixed`` are by path; those of the public path are used where there are no others.
    """
    given, fixed = list(given), list(fixed)
    inside = [address for path, address in fixed if path != _PUBLIC]
    outside = [address for path, address in fixed if path == _PUBLIC]
    found: list[Address] = []
    for version in (4, 6):
        of_family = ([each for each in some if each.version == version] for some in (given, inside, outside))
        found += next(filter(None, of_family), [])
    return tuple(found)
