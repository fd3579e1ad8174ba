"""The configuration file, declared once: every table, key, type, default and limit, with its description.

The loader (``shape.py``), its messages and later the reference manual read these declarations. How single
values are written is in ``notation.py``, and what several keys must keep together in ``rules.py``.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from shoal.config.tables import Table
from shoal.config.timeout_tables import TimeoutsTable

Address = Annotated[str, Meta(description="IPv4 or IPv6 address", examples=["192.0.2.10", "2001:db8::10"])]


class ClusterTable(Table, kw_only=True):
    """``[cluster]``: what the routers share."""

    name: Annotated[str, Meta(description="name of the cluster; routers only listen to their own")] = "shoal"
    key_file: Annotated[str, Meta(description="absolute path of the file that holds the heartbeat key")] = ""
    key: Annotated[str, Meta(description="the heartbeat key itself, at least 16 characters")] = ""
    heartbeat_port: Annotated[int, Meta(ge=1, le=65535, description="UDP port of the heartbeat")] = 5390
    heartbeat_interval: Annotated[float, Meta(ge=0.01, le=10, description="seconds between heartbeats")] = 0.1
    dead_time: Annotated[
        float,
        Meta(
            ge=0.02, le=60, description="seconds of silence on all paths that mean death; default 3 intervals"
        ),
    ] = 0.0


class PathTable(Table, kw_only=True):
    """``[paths.NAME]``: a network over which routers hear each other."""

    interface: Annotated[str, Meta(description="network interface, the same on every router")]
    gateway: Annotated[
        str | list[str],
        Meta(
            description="floating gateway address of the real servers on this path; a list for one of each family",
            examples=["10.0.1.1/24", ["10.0.1.1/24", "2001:db8:1::1/64"]],
        ),
    ] = ""
    masquerade: Annotated[
        bool,
        Meta(
            description="let the real servers behind the gateway reach the public side as the active router"
        ),
    ] = False


Method = Literal["nat", "dr", "tunnel", "fullnat", "local"]


class RouterTable(Table, kw_only=True):
    """``[[routers]]``: one LVS router. Further keys are path names, with its fixed addresses there."""

    further_keys: ClassVar[str] = "addresses"

    name: Annotated[str, Meta(description="name of the router")]
    priority: Annotated[int, Meta(ge=1, le=254, description="the highest living router is active")] = 100
    fullnat_addresses: Annotated[
        list[str],
        Meta(
            description="its addresses that fullnat connections come from; default: the fixed ones off the public path",
            examples=[["10.0.1.11", "10.0.1.111"]],
        ),
    ] = field(default_factory=list)
    addresses: Annotated[dict[str, str], Meta(description="fixed address of the router, by path name")] = (
        field(default_factory=dict)
    )


class DataplaneTable(Table, kw_only=True):
    """``[dataplane]``: how packets are forwarded."""

    hook: Annotated[
        Literal["auto", "xdp", "tc"],
        Meta(description="where the kernel hands over packets; auto: by interface"),
    ] = "auto"
    fullnat_ports: Annotated[
        str, Meta(description="ports that fullnat connections come from", examples=["1024-32767"])
    ] = "1024-32767"
    max_connections: Annotated[
        int, Meta(ge=1024, le=16_777_216, description="size of the table of IPv4 connections")
    ] = 262_144
    max_connections_ipv6: Annotated[
        int, Meta(ge=1024, le=16_777_216, description="size of the table of IPv6 connections")
    ] = 65_536
    max_virtual_servers: Annotated[
        int, Meta(ge=1, le=4096, description="room in the dataplane for virtual servers")
    ] = 256
    max_real_servers: Annotated[
        int,
        Meta(
            ge=1,
            le=131_072,
            description="room in the dataplane for real servers; one of two virtual servers counts twice",
        ),
    ] = 4096
    max_templates: Annotated[
        int,
        Meta(
            ge=1024, le=16_777_216, description="room in the dataplane for clients that persistence remembers"
        ),
    ] = 65_536
    max_access_entries: Annotated[
        int, Meta(ge=1, le=1_048_576, description="room in the dataplane for entries of allow and deny")
    ] = 16_384


class MonitorTable(Table, kw_only=True):
    """Keys that every monitor has."""

    interval: Annotated[float, Meta(ge=0.1, le=3600, description="seconds between probes")] = 1.0
    timeout: Annotated[float, Meta(ge=0.05, le=60, description="seconds a probe may take")] = 1.0
    rise: Annotated[int, Meta(ge=1, le=1000, description="passes in a row that bring a server up")] = 2
    fall: Annotated[int, Meta(ge=1, le=1000, description="failures in a row that take a server down")] = 2
    port: Annotated[int, Meta(ge=0, le=65535, description="port to probe; 0: the real server's own")] = 0


class TcpMonitorTable(MonitorTable, tag_field="type", tag="tcp", kw_only=True):
    """Passes when a TCP connection is accepted."""


Statuses = Annotated[
    list[int | str],
    Meta(description="HTTP statuses that pass: numbers and ranges", examples=[["200-299", 301]]),
]


class HttpMonitorTable(MonitorTable, tag_field="type", tag="http", kw_only=True):
    """Passes when an HTTP GET is answered with an expected status."""

    path: Annotated[str, Meta(description="path to get")] = "/"
    host: Annotated[str, Meta(description="Host header; empty: the address")] = ""
    statuses: Statuses = field(default_factory=lambda: ["200-399"])


class HttpsMonitorTable(MonitorTable, tag_field="type", tag="https", kw_only=True):
    """Passes when an HTTPS GET is answered with an expected status."""

    path: Annotated[str, Meta(description="path to get")] = "/"
    host: Annotated[str, Meta(description="Host header and TLS server name; empty: the address")] = ""
    statuses: Statuses = field(default_factory=lambda: ["200-399"])
    verify: Annotated[bool, Meta(description="check the certificate's chain and name")] = False


class SendExpectMonitorTable(MonitorTable, tag_field="type", tag="send_expect", kw_only=True):
    """Passes when the answer to a text is the expected one."""

    send: Annotated[str, Meta(description="text to send, with TOML's escapes")] = ""
    expect: Annotated[str, Meta(description="beginning of the answer; * accepts any byte")] = ""
    regex: Annotated[str, Meta(description="pattern searched anywhere in the answer")] = ""


class ProgramMonitorTable(MonitorTable, tag_field="type", tag="program", kw_only=True):
    """Passes when a program exits with 0."""

    command: Annotated[
        list[str],
        Meta(
            description="program and arguments; %h is the address, %p the port",
            examples=[["probe", "%h", "%p"]],
        ),
    ]


AnyMonitorTable = (
    TcpMonitorTable | HttpMonitorTable | HttpsMonitorTable | SendExpectMonitorTable | ProgramMonitorTable
)


LEAST_MSS = 536  # RFC 9293 3.7.1
Encap = Literal["ipip", "gue", "gre"]
Port = Annotated[int, Meta(ge=1, le=65535)]


class RealServerTable(Table, kw_only=True):
    """``[[virtual_servers.real_servers]]``: one real server."""

    name: Annotated[str, Meta(description="name; default ADDRESS:PORT")] = ""
    address: Address
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="port on the real server; 0: packets keep the one they came with"),
    ] = 0
    weight: Annotated[int, Meta(ge=0, le=65535, description="share of new connections; 0: none")] = 1
    method: Annotated[
        Method | None,
        Meta(description="how packets reach it; default: the virtual server's"),
    ] = None
    encap: Annotated[Encap | None, Meta(description="of method tunnel; default: the virtual server's")] = None
    encap_port: Annotated[Port | None, Meta(description="UDP port of gue; default: the virtual server's")] = (
        None
    )
    state: Annotated[
        Literal["in", "drain", "maintenance"],
        Meta(description="drain: no new connections at all; maintenance: and those that it has are ended"),
    ] = "in"
    upper_threshold: Annotated[
        int,
        Meta(ge=0, le=2**32 - 1, description="connections from which on it gets no new ones; 0: no limit"),
    ] = 0
    lower_threshold: Annotated[
        int,
        Meta(
            ge=0,
            le=2**32 - 1,
            description="below so many it gets new ones again; 0: below three quarters of upper_threshold",
        ),
    ] = 0


class PersistenceTable(Table, kw_only=True):
    """``[virtual_servers.persistence]``: a client's new connections go where its first one went."""

    timeout: Annotated[
        int,
        Meta(ge=1, le=2_592_000, description="seconds after the last new connection until it is forgotten"),
    ] = 300
    ipv4_mask: Annotated[
        int | str,
        Meta(
            description="clients of one IPv4 network stay together: its prefix length or mask",
            examples=[24, "255.255.255.0"],
        ),
    ] = 32
    ipv6_prefix: Annotated[
        int, Meta(ge=1, le=128, description="the same for IPv6 networks: their prefix length")
    ] = 128
    expire_quiescent: Annotated[
        bool,
        Meta(description="real servers with weight 0 get no new connections of clients they have either"),
    ] = False
    expire_removed: Annotated[
        bool,
        Meta(
            description="false: a removed real server gets new ones of its clients while it has connections"
        ),
    ] = True


class VirtualServerTable(Table, kw_only=True):
    """``[[virtual_servers]]``: what clients connect to, and who serves them."""

    name: Annotated[str, Meta(description="name of the virtual server")]
    listen: Annotated[
        list[str],
        Meta(
            description="ADDRESS:PORT/tcp or /udp, with a port, FIRST-LAST, or * for any; or fwmark:NUMBER",
            examples=[
                ["192.0.2.10:80/tcp"],
                ["[2001:db8::10]:8000-8099/tcp"],
                ["192.0.2.10:*/udp"],
                ["fwmark:7"],
            ],
        ),
    ]
    scheduler: Annotated[
        Literal[
            "rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "twos", "sh", "dh", "mh", "lblc", "lblcr"
        ],
        Meta(description="how a real server is chosen for a connection"),
    ] = "wlc"
    scheduler_flags: Annotated[
        list[str],
        Meta(description="of sh: sh-port, sh-fallback; of mh: mh-port, mh-fallback", examples=[["mh-port"]]),
    ] = field(default_factory=list)
    method: Annotated[
        Method,
        Meta(
            description="how packets reach the real servers: nat rewrites addresses, dr only the MACs, "
            "tunnel puts them into others, fullnat rewrites addresses of both ends, local keeps them on the router"
        ),
    ] = "nat"
    encap: Annotated[
        Encap | None, Meta(description="of method tunnel: what packets travel in; default ipip")
    ] = None
    encap_port: Annotated[Port | None, Meta(description="UDP port of gue; default 6080")] = None
    mss_clamp: Annotated[
        bool | Annotated[int, Meta(ge=LEAST_MSS, le=65495)],
        Meta(
            description="lower what a SYN announces as the largest TCP segment: true to what the ways carry, or to "
            "a number of bytes; under dr and tunnel that concerns what real servers send alone",
            examples=[True, 1360],
        ),
    ] = False
    persistence: Annotated[
        PersistenceTable | None, Meta(description="clients stay with their real server; default: they do not")
    ] = None
    on_removal: Annotated[
        Literal["drain", "reset", "move"],
        Meta(
            description="connections of a removed real server go on, or end at the client's next packet, or are "
            "scheduled anew at it"
        ),
    ] = "drain"
    on_down: Annotated[
        Literal["keep", "reset", "move"],
        Meta(description="the same of a real server that is down; datagram flows always move"),
    ] = "keep"
    drain_timeout: Annotated[
        int,
        Meta(
            ge=0,
            le=2_592_000,
            description="seconds after which connections end that a real server still has since it was removed, or "
            "since `shoal drain`; 0: they may last",
        ),
    ] = 0
    one_packet: Annotated[
        bool, Meta(description="schedule every datagram by itself, and keep no connections (UDP only)")
    ] = False
    sloppy: Annotated[
        bool, Meta(description="let a TCP packet from amid a connection begin one, as after a failover")
    ] = False
    allow: Annotated[
        list[str],
        Meta(
            description="networks of the clients that are admitted; all others are refused",
            examples=[["198.51.100.0/24"]],
        ),
    ] = field(default_factory=list)
    deny: Annotated[
        list[str],
        Meta(
            description="networks of clients that are refused; of allow and deny the longer prefix decides",
            examples=[["203.0.113.0/24", "2001:db8:bad::/48"]],
        ),
    ] = field(default_factory=list)
    connection_limit: Annotated[
        int, Meta(ge=0, le=2**32 - 1, description="most live connections at a time; 0: no limit")
    ] = 0
    source_rate: Annotated[
        str,
        Meta(
            description="most new connections of one client address (IPv6: of a /64); /s, /m or /h",
            examples=["100/s", "30/m"],
        ),
    ] = ""
    source_burst: Annotated[
        int,
        Meta(
            ge=0, le=1_000_000, description="how many of them may come at once; 0: as many as the rate names"
        ),
    ] = 0
    monitor: Annotated[AnyMonitorTable, Meta(description="how health is found out")] = field(
        default_factory=TcpMonitorTable
    )
    real_servers: Annotated[
        list[RealServerTable | str],
        Meta(
            description="tables, or ADDRESS:PORT for short; ADDRESS:* keeps the port that a packet came with",
            examples=[["10.0.1.21:80"], ["[2001:db8:1::21]:80"], ["10.0.1.21:*"]],
        ),
    ]


class Document(Table, kw_only=True):
    """The whole file."""

    serial: Annotated[int, Meta(ge=0, le=2**63 - 1, description="the operator's counter of changes")] = 0
    cluster: ClusterTable = field(default_factory=ClusterTable)
    paths: Annotated[dict[str, PathTable], Meta(description="networks by name; public is required")]
    routers: list[RouterTable] = field(default_factory=list)
    dataplane: DataplaneTable = field(default_factory=DataplaneTable)
    timeouts: TimeoutsTable = field(default_factory=TimeoutsTable)
    virtual_servers: list[VirtualServerTable] = field(default_factory=list)
