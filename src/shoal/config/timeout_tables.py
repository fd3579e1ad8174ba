"""``[timeouts]`` of the configuration file, declared as in ``schema.py``."""

from typing import Annotated

from msgspec import Meta, field

from shoal.config.tables import Table

Timeout = Annotated[int, Meta(ge=1, le=31 * 86_400, description="seconds without a packet")]


class TcpTimeoutsTable(Table, kw_only=True):
    """``[timeouts.tcp]``: how long a TCP connection is kept in each state, as the router sees it."""

    none: Timeout = 2
    established: Timeout = 900
    syn_sent: Timeout = 120
    syn_recv: Timeout = 60
    fin_wait: Timeout = 120
    time_wait: Timeout = 120
    close: Timeout = 10
    close_wait: Timeout = 60
    last_ack: Timeout = 30
    listen: Timeout = 120
    synack: Timeout = 120


class SctpTimeoutsTable(Table, kw_only=True):
    """``[timeouts.sctp]``: how long an SCTP association is kept in each state, as the router sees it."""

    init1: Timeout = 4
    init: Timeout = 61
    cookie_sent: Timeout = 61
    cookie_replied: Timeout = 61
    cookie_wait: Timeout = 61
    cookie: Timeout = 61
    cookie_echoed: Timeout = 61
    established: Timeout = 900
    shutdown_sent: Timeout = 61
    shutdown_received: Timeout = 61
    shutdown_ack_sent: Timeout = 61
    rejected: Timeout = 4
    closed: Timeout = 61


class TimeoutsTable(Table, kw_only=True):
    """``[timeouts]``: how long a connection without packets is kept. The defaults are those of IPVS."""

    tcp: TcpTimeoutsTable = field(default_factory=TcpTimeoutsTable)
    udp: Timeout = 300
    sctp: SctpTimeoutsTable = field(default_factory=SctpTimeoutsTable)
