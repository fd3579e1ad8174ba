"""The nouns, frozen. Imports nothing of ours; every other module may import this one."""

from shoal.model.address import Address, Interface, Network, address_order, endpoint
from shoal.model.admission import EVERYBODY, RATE_PERIODS, Admission, Rate, network_order
from shoal.model.cluster import AddressGroup, Cluster, FloatingAddress, Path, Router, RouterState
from shoal.model.connection import Connection, ConnectionState, Template
from shoal.model.local_pool import LocalPool, local_addresses
from shoal.model.monitor import (
    Health,
    HttpProbe,
    Monitor,
    Probe,
    ProgramProbe,
    SendExpectProbe,
    TcpProbe,
)
from shoal.model.virtual_server import (
    GUE_PORT,
    LAST_PORT,
    AdminState,
    Encapsulation,
    ForwardingMethod,
    Hook,
    Leaving,
    Listener,
    Persistence,
    Protocol,
    RealServer,
    VirtualServer,
)

__all__ = [
    "EVERYBODY",
    "LAST_PORT",
    "RATE_PERIODS",
    "Address",
    "AddressGroup",
    "AdminState",
    "Admission",
    "Cluster",
    "Connection",
    "ConnectionState",
    "Encapsulation",
    "FloatingAddress",
    "ForwardingMethod",
    "GUE_PORT",
    "Health",
    "Hook",
    "HttpProbe",
    "Interface",
    "Listener",
    "Leaving",
    "LocalPool",
    "Monitor",
    "Network",
    "Path",
    "Persistence",
    "Probe",
    "ProgramProbe",
    "Protocol",
    "Rate",
    "RealServer",
    "Router",
    "RouterState",
    "SendExpectProbe",
    "TcpProbe",
    "Template",
    "VirtualServer",
    "address_order",
    "endpoint",
    "local_addresses",
    "network_order",
]
