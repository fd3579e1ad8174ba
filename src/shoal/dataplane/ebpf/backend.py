"""The eBPF dataplane behind the contract of ``shoal.dataplane.base``."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from shoal.dataplane.base import (
    OVERLOAD_SECONDS,
    Attachment,
    Counters,
    Dataplane,
    DataplaneState,
    DestinationCounters,
    Drop,
    PutService,
    ServiceCounters,
    SetTimeouts,
    Step,
)
from shoal.dataplane.ebpf.abi import DROPS, INTERFACE_FLAGS, LIMITS, STATES, ffi
from shoal.dataplane.ebpf.addresses import PROTOCOLS, Endpoint, address_in, port_of
from shoal.dataplane.ebpf.installation import Installation
from shoal.dataplane.ebpf.libbpf import run_program
from shoal.dataplane.ebpf.links import Interface, Links
from shoal.dataplane.ebpf.local_pools import write_pools
from shoal.dataplane.ebpf.objects import FAMILIES, Loaded
from shoal.dataplane.ebpf.persistence import Templates
from shoal.dataplane.ebpf.reading import METHOD_NUMBERS
from shoal.dataplane.ebpf.sizes import Capacity
from shoal.dataplane.ebpf.ticks import now_in_ticks, seconds_since, seconds_until
from shoal.dataplane.ebpf.tunnels import Tunnels
from shoal.errors import NotFoundError
from shoal.model import Cluster, Connection, ConnectionState, ForwardingMethod, Hook, LocalPool, Template
from shoal.pulse.floating import TAG
from shoal.system.places import Places
from shoal.system.routes import OwnAddresses
from shoal.system.rtnetlink import Netlink

SWEEP_SLICE = 8192  # buckets: about 2 ms of kernel time
_STATES = {STATES["SHOAL_" + state.name]: state for state in ConnectionState}
_DROPS = {DROPS["SHOAL_" + drop.name]: drop for drop in Drop if "SHOAL_" + drop.name in DROPS}
_NOT_INSIDE = {METHOD_NUMBERS[method] for method in (ForwardingMethod.TUNNEL, ForwardingMethod.FULLNAT)}
_DROPS_BEGIN = 1  # struct service_counters: connections, then drops[]
_UNPERSISTED = 33
_STATELESS = 34


def find_interfaces(names: Iterable[str]) -> list[Interface]:
    """The interfaces of those names in this network namespace. Raises NotFoundError naming what exists."""
    netlink = Netlink()
    try:
        present = {link.name: link for link in netlink.links()}
    finally:
        netlink.close()
    found = []
    for name in names:
        if name not in present:
            raise NotFoundError(
                where=f"interface {name}",
                problem="it does not exist on this router",
                fix=f"use one of {', '.join(sorted(present))}",
            )
        link = present[name]
        found.append(
            Interface(
                name=name,
                index=link.index,
                kind=link.kind,
                mac=link.mac,
                peer_elsewhere=link.kind == "veth" and link.peer_netns is not None,
            )
        )
    return found


class EbpfDataplane(Dataplane):
    """Programs and maps pinned in a bpffs folder. Opening it again takes over what is there."""

    name = "ebpf"

    def __init__(self, loaded: Loaded, pins: Path) -> None:
        self._loaded = loaded
        self.adopted = self._loaded.adopted
        self._own_addresses = OwnAddresses()
        self._tunnels = Tunnels(self._loaded, self._own_addresses.towards)
        self._installation = Installation(self._loaded, self._tunnels)
        self._templates = Templates(self._loaded)
        self._destination_counters = self._loaded.counters("destination_counters")
        self._service_counters = self._loaded.counters("service_counters")
        self._live = dict.fromkeys(FAMILIES, 0)
        self._local_ports = dict.fromkeys(FAMILIES, 0)
        self._links = Links(pins, loaded.program)
        self._interfaces: dict[str, int] = {}

    @classmethod
    def open(
        cls,
        pins: Path,
        *,
        max_connections: int,
        max_connections_ipv6: int = 65_536,
        max_virtual_servers: int = 256,
        max_real_servers: int = 4096,
        max_templates: int = 65_536,
        max_access_entries: int = 16_384,
    ) -> "EbpfDataplane":
        """Load the programs over the maps pinned at ``pins``, which are made where they are missing.

        Maps that are there keep their sizes, whatever the limits: other ones take a clean stop.
        """
        capacity = Capacity(
            max_connections=max_connections,
            max_connections_ipv6=max_connections_ipv6,
            max_virtual_servers=max_virtual_servers,
            max_real_servers=max_real_servers,
            max_templates=max_templates,
            max_access_entries=max_access_entries,
        )
        return cls(Loaded(pins, capacity), pins)

    def use_ipv6(self) -> None:
        """Serve IPv6 from now on. Installing an IPv6 address does the same."""
        self._loaded.use_ipv6()

    def use_local(self, pool: LocalPool) -> None:
        """Take the local ends of fullnat connections from this pool from now on."""
        write_pools(self._loaded, pool)

    def attach(self, interfaces: Sequence[Interface], hook: Hook, *, sees_marks: bool = False) -> None:
        """Take packets from these interfaces from now on; with ``sees_marks`` behind the filters that set marks."""
        for interface in interfaces:
            self._links.attach(interface, hook, sees_marks=sees_marks)
            self._interfaces[interface.name] = interface.index
        settings = self._loaded.table("settings")[0]
        macs = sorted({interface.mac for interface in interfaces})[: LIMITS["SHOAL_MAX_MACS"]]
        for position, mac in enumerate(macs):
            settings.macs[position] = int.from_bytes(mac, "little")
        settings.n_macs = len(macs)
        flags = self._loaded.dictionary("interfaces")
        for interface in interfaces:
            value = INTERFACE_FLAGS["SHOAL_PEER_REDIRECT"] if interface.peer_elsewhere else 0
            if interface.is_virtual:
                value |= INTERFACE_FLAGS["SHOAL_FROM_STACK"]
            if interface.index in self._links.xdp_targets:
                value |= INTERFACE_FLAGS["SHOAL_XDP_TARGET"]
            flags.put(ffi.new("__u32 *", interface.index), ffi.new("__u32 *", value))
        self._note_own_addresses()

    def actual(self) -> DataplaneState:
        """What the maps hold."""
        return self._installation.read()

    def apply(self, steps: Sequence[Step]) -> None:
        """Carry out a plan; each step is one flip."""
        try:
            for step in steps:
                if isinstance(step, SetTimeouts):
                    self._installation.set_timeouts(step.timeouts)
                elif isinstance(step, PutService):
                    self._installation.put(step.service)
                else:
                    self._installation.remove(step.name)
        finally:
            self._installation.set_reverses()

    def attachments(self) -> tuple[Attachment, ...]:
        """Interfaces and hooks."""
        return tuple(self._links.attachments)

    def connections(self, *, limit: int) -> Iterable[Connection]:
        """Read in slices through the kernel's own filter; the table itself is never copied out."""
        found: list[Connection] = []
        for family in self._families():
            found += self._list(family, limit=limit - len(found))
        return found

    def _families(self) -> tuple[int, ...]:
        """The address families that have a connection table."""
        return FAMILIES if self._loaded.ipv6 else FAMILIES[:1]

    def _list(self, family: int, *, limit: int) -> list[Connection]:
        names = {number: name for name, number in self._installation.by_name.items()}
        n_buckets = self._loaded.n_buckets(family)
        program, listing = (
            self._loaded.program("shoal_list", family=family),
            self._loaded.table(f"listing{family}"),
        )
        arguments = ffi.new("struct list_arguments *", {"n_buckets": n_buckets, "now": now_in_ticks()})
        found: list[Connection] = []
        while len(found) < limit and arguments.first_bucket < n_buckets:
            run_program(program, arguments)
            entries = (listing[index] for index in range(arguments.n_entries))
            found += [self._connection(entry, arguments.now, names) for entry in entries]
            arguments.first_bucket = arguments.next_bucket
        return found[:limit]

    def _connection(self, entry: Any, now: int, names: dict[int, str]) -> Connection:
        service = self._installation.destinations[entry.destination].service
        return Connection(
            protocol=PROTOCOLS[entry.protocol],
            client=(address_in(entry.client), port_of(entry.client_port)),
            virtual=(address_in(entry.virtual_address), port_of(entry.virtual_port)),
            real=self._real_server(entry),
            state=_STATES[entry.word & 0xFF],
            expires_in=seconds_until(entry.expires, now),
            virtual_server=names.get(service, ""),
        )

    def _real_server(self, entry: Any) -> Endpoint:
        """Of a connection. Through a tunnel it may be of the other family; under fullnat the entry has our own end."""
        if entry.method in _NOT_INSIDE:
            address, port = self._installation.endpoint(entry.destination)
            return address, port or port_of(entry.virtual_port)
        return address_in(entry.inside), port_of(entry.inside_port)

    def templates(self, *, limit: int) -> Iterable[Template]:
        """Read from the map; its order is that of a hash."""
        names = {number: name for name, number in self._installation.by_name.items()}
        return islice(self._templates.in_force(now=now_in_ticks(), names=names), limit)

    def counters(self) -> Counters:
        """Sums over the CPUs; active and inactive as they are at this moment."""
        installation = self._installation
        overloaded = installation.thresholds.overloaded()
        shares = [
            DestinationCounters(
                active=active,
                inactive=inactive,
                connections=connections,
                packets_in=packets_in,
                bytes_in=bytes_in,
                packets_out=packets_out,
                bytes_out=bytes_out,
                overloaded=number in overloaded,
            )
            for number, (
                (active, inactive),
                (connections, packets_in, bytes_in, packets_out, bytes_out),
            ) in enumerate(
                zip(
                    installation.loads.rows("active", "inactive"),
                    self._destination_counters.read_all(installation.destinations_end),
                    strict=False,
                )
            )
        ]
        totals = self._service_counters.read_all(installation.services_end)
        return Counters(
            services={
                name: self._service(number, totals=totals[number], shares=shares)
                for name, number in installation.by_name.items()
            },
            drops=self._drops_of_none(totals),
            connections_held=self._live[4],
            connections_limit=self._places(4),
            ipv6_connections_held=self._live[6],
            ipv6_connections_limit=self._places(6),
            local_ports_held=sum(self._local_ports.values()),
        )

    def _drops_of_none(self, totals: Sequence[Sequence[int]]) -> dict[Drop, int]:
        """Those that belong to no service, or to one that was removed before."""
        retired = (totals[number] for number in self._installation.retired_services)
        bygone = self._installation.bygone
        sums = [bygone[word] + sum(words) for word, words in enumerate(zip(totals[0], *retired, strict=True))]
        return _drops(sums)

    def flows(self, name: str) -> dict[Endpoint, int]:
        """Of one service: nothing else is read."""
        installation = self._installation
        number = installation.by_name.get(name)
        members = () if number is None else installation.numbers_of(number)
        loads = ((member, installation.loads[member]) for member in members)
        return {installation.endpoint(member): load.active + load.inactive for member, load in loads}

    def _places(self, family: int) -> int:
        """How many places a family's table has, or will have once it is used."""
        return self._loaded.n_buckets(family) * LIMITS["SHOAL_BUCKET_SLOTS"]

    def _service(
        self, number: int, *, totals: Sequence[int], shares: Sequence[DestinationCounters]
    ) -> ServiceCounters:
        members = self._installation.numbers_of(number)
        return ServiceCounters(
            connections=totals[0],
            stateless_packets=totals[_STATELESS],
            drops=_drops(totals),
            unpersisted=totals[_UNPERSISTED],
            destinations={self._installation.endpoint(member): shares[member] for member in members},
        )

    def overloaded(self) -> bool:
        """Whether either table was full a moment ago."""
        now, overloads = now_in_ticks(), self._loaded.table("overloads")
        return any(
            each.ever and seconds_since(each.tick, now) < OVERLOAD_SECONDS
            for each in (overloads[0], overloads[1])
        )

    def sweep(self) -> int:
        """One pass over the table, in slices; then free what no connection refers to any more.

        And look again at what the router's own addresses are.
        """
        now, expired = now_in_ticks(), 0
        for family in self._families():
            ended, self._live[family] = self._sweep(family, now=now)
            expired += ended
        self._installation.end_drains(now)
        self._installation.forget_unused()
        self._tunnels.refresh()
        self._note_own_addresses()
        self._templates.sweep(now=now)
        return expired

    def _note_own_addresses(self) -> None:
        """What ICMP errors come from, by interface."""
        own = self._loaded.dictionary("own_addresses")
        found = self._own_addresses.on_links(but=TAG)
        for index in self._interfaces.values():
            value = ffi.new("struct own_addresses *")
            for version, address in found.get(index, {}).items():
                ffi.buffer(ffi.addressof(value[0], f"ipv{version}"))[:] = address.packed
            own.put(ffi.new("__u32 *", index), value)

    def _sweep(self, family: int, *, now: int) -> tuple[int, int]:
        """How many of a family's connections were ended, and how many live."""
        program, n_buckets = (
            self._loaded.program("shoal_sweep", family=family),
            self._loaded.n_buckets(family),
        )
        arguments = ffi.new("struct sweep_arguments *", {"now": now})
        expired = live = local_ports = 0
        for first in range(0, n_buckets, SWEEP_SLICE):
            arguments.first_bucket = first
            arguments.n_buckets = min(SWEEP_SLICE, n_buckets - first)
            run_program(program, arguments)
            expired += arguments.expired
            live += arguments.live
            local_ports += arguments.local_ports
        self._local_ports[family] = local_ports
        return expired, live

    def close(self) -> None:
        """Let go; the kernel goes on forwarding."""
        self._own_addresses.close()
        self._loaded.close()

    def remove(self) -> None:
        """Detach, unpin and free everything."""
        self._links.remove(self._interfaces)
        self._loaded.unpin()
        self.close()


def _drops(words: Sequence[int]) -> dict[Drop, int]:
    return {
        drop: words[_DROPS_BEGIN + number] for number, drop in _DROPS.items() if words[_DROPS_BEGIN + number]
    }


def open_dataplane(cluster: Cluster, router_name: str, places: Places) -> EbpfDataplane:
    """Load or take over this router's dataplane and attach it to the interfaces of its paths."""
    interfaces = find_interfaces(dict.fromkeys(path.interface for path in cluster.paths))
    dataplane = EbpfDataplane.open(
        places.pins,
        max_connections=cluster.max_connections,
        max_connections_ipv6=cluster.max_connections_ipv6,
        max_virtual_servers=cluster.max_virtual_servers,
        max_real_servers=cluster.max_real_servers,
        max_templates=cluster.max_templates,
        max_access_entries=cluster.max_access_entries,
    )
    floating = (each.address for group in cluster.groups for each in group.addresses)
    try:
        if any(address.version == 6 for address in floating):
            dataplane.use_ipv6()
        dataplane.use_local(cluster.local_pool(router_name))
        sees_marks = any(each.marks for each in cluster.virtual_servers)
        dataplane.attach(interfaces, cluster.hook, sees_marks=sees_marks)
    except BaseException:
        dataplane.close()
        raise
    return dataplane
