"""What connections under fullnat take their local ends from: the map "local_pools", one pool for each family."""

from shoal.dataplane.ebpf.abi import LIMITS
from shoal.dataplane.ebpf.addresses import address_in, filter_bits, packed
from shoal.dataplane.ebpf.objects import FAMILIES, Loaded
from shoal.errors import ConfigError
from shoal.model import Address, LocalPool

_MOST = LIMITS["SHOAL_MAX_LOCAL"]


def write_pools(loaded: Loaded, pool: LocalPool) -> None:
    """Take local ends from this pool from now on; connections keep what they have.

    Raises ConfigError when a family has more addresses than the map has room for; nothing has changed then.
    """
    for family in FAMILIES:
        if len(pool.of_family(family)) > _MOST:
            raise ConfigError(
                where="fullnat_addresses",
                problem=f"{len(pool.of_family(family))} addresses of IPv{family}",
                fix=f"use at most {_MOST} of each family",
            )
    words = loaded.table("filter")[0].local_addresses
    for bit in filter_bits([packed(address) for address in pool.addresses]):
        words[bit >> 6] |= 1 << (bit & 63)  # none is cleared: connections outlive a change
    for place, family in enumerate(FAMILIES):
        entry = loaded.table("local_pools")[place]
        addresses = pool.of_family(family)
        entry.n_addresses = 0  # nothing is taken from a pool that is half written
        entry.first_port, entry.n_ports = pool.ports.start, len(pool.ports)
        for position, address in enumerate(addresses):
            for word, value in enumerate(_words(address)):
                entry.addresses[position].word[word] = value
        entry.n_addresses = len(addresses)


def read_pools(loaded: Loaded) -> LocalPool:
    """The pool as it stands in the maps."""
    entries = [loaded.table("local_pools")[place] for place in range(len(FAMILIES))]
    addresses = [address_in(entry.addresses[i]) for entry in entries for i in range(entry.n_addresses)]
    first, length = entries[0].first_port, entries[0].n_ports
    return LocalPool(addresses=tuple(addresses), ports=range(first, first + length))


def _words(address: Address) -> list[int]:
    content = packed(address)
    return [int.from_bytes(content[begin : begin + 4], "little") for begin in range(0, 16, 4)]
