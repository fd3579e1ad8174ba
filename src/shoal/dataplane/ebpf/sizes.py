"""How large the tables are, for the limits that the configuration sets.

Array maps are allocated whole, so a limit is paid for when the dataplane is first loaded, in kernel memory:

* a connection of ``max_connections``: two places of 64 bytes;
* a connection of ``max_connections_ipv6``: two places of 128 bytes, from the first use of IPv6 on;
* a real server: about 0.4 KiB (itself, its counts, two places among members, two names for replies) and 40 bytes of
  counters for each CPU;
* a persistence template: about 0.1 KiB;
* a virtual server: about 65 KiB, nearly all of it scheduling rings, and 264 bytes of counters for each CPU.

The defaults take 24 MiB beside the connections; 4,096 virtual servers with 131,072 real servers take 320 MiB.
"""

from dataclasses import dataclass

from shoal.dataplane.ebpf.abi import LIMITS
from shoal.schedulers import mh

SLOTS_PER_CONNECTION = 2  # a table at most half full hardly ever has to refuse a place
RING_PLACES = 2 * mh.TABLE_SIZE  # for each virtual server: an old and a new Maglev table side by side
CONFIGS = 4  # of each virtual server: one in use, others resting after quick changes
LISTENERS = 4
LEAST_LISTENERS = 4096


def buckets_for(max_connections: int) -> int:
    """How many buckets a table for so many connections has."""
    return max(1, -(-max_connections * SLOTS_PER_CONNECTION // LIMITS["SHOAL_BUCKET_SLOTS"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The limits. Real servers count once for each virtual server that has them, and removed ones until their
    connections have ended.
    """

    max_connections: int
    max_connections_ipv6: int = 65_536
    max_virtual_servers: int = 256
    max_real_servers: int = 4_096
    max_templates: int = 65_536
    max_access_entries: int = 16_384

    def entries(self) -> dict[str, int]:
        """The number of entries of each map whose size is not fixed. Number 0 is nobody's."""
        services, destinations = self.max_virtual_servers + 1, self.max_real_servers + 1
        return {
            "connections4": buckets_for(self.max_connections),
            "connections6": buckets_for(self.max_connections_ipv6),
            "destinations": destinations,
            "loads": destinations,
            "encapsulations": destinations,
            "thresholds": destinations,
            "destination_counters": destinations,
            "services": services,
            "service_counters": services,
            "service_loads": services,
            "access": 2 * self.max_access_entries,  # lists are written beside those that they replace
            "service_configs": CONFIGS * services,
            # all the members twice, and room for several changes of a large virtual server within a second
            "members": 2 * (self.max_real_servers + LIMITS["SHOAL_MAX_PER_SERVICE"]),
            "rings": RING_PLACES * self.max_virtual_servers,
            "listeners": max(LEAST_LISTENERS, LISTENERS * services),
            "local_ports": self.max_connections + self.max_connections_ipv6,
            "reverses": 2 * self.max_real_servers,  # by protocol
            "templates": self.max_templates,
        }
