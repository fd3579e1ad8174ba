"""What a virtual server listens to and whom it admits, under real sockets: ranges, marks, lists and limits."""

import contextlib
import os
import selectors
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest

from shoal.dataplane.base import Destination, Drop, PutService, Service
from shoal.model import Admission, ForwardingMethod, Listener, Protocol, Rate
from support.namespaces import CLIENT, SERVERS, VIP, inside, run
from support.sites import DEADLINE, WAYS, Site, listen, site_by

SECOND_VIP = IPv4Address("198.18.0.101")
HERE = IPv4Address("127.0.0.1")
TCP, UDP = Protocol.TCP, Protocol.UDP
CLANG = os.environ.get("CLANG", "clang-19")
MARKING = Path(__file__).parent / "programs" / "mark.bpf.c"
SHORT = 0.3  # s in which a packet that is dropped is not answered


@pytest.fixture(params=WAYS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with site_by(request.param, tmp_path) as built:
        run(f"ip -n {built.wires.router} address add {SECOND_VIP}/32 dev eth0")
        yield built


@pytest.fixture
def tcx_site(tmp_path: Path) -> Iterator[Site]:
    with site_by("tcx", tmp_path) as built:
        yield built


def service(*listeners: Listener, port: int = 0, **fields: object) -> Service:
    """Round robin over the servers, which keep the client's port unless one is given."""
    whole = Service(
        name="www",
        listeners=listeners,
        scheduler="rr",
        method=ForwardingMethod.NAT,
        destinations=tuple(Destination(address=server, port=port, weight=1) for server in SERVERS),
    )
    return replace(whole, **fields)  # type: ignore[arg-type]


def put(site: Site, wanted: Service) -> None:
    site.dataplane.apply([PutService(service=wanted)])


def echo_once(site: Site, address: IPv4Address, port: int) -> str:
    """Ask a server that listens on this port, by way of the virtual address; which server it was."""
    with (
        listen(site, port) as listener,
        inside(site.wires.client),
        socket.create_connection((str(address), port), timeout=DEADLINE) as client,
    ):
        server, _ = listener.accept()
        with server:
            client.sendall(b"question")
            assert server.recv(16) == b"question"
            server.sendall(b"answer")
            assert client.recv(16) == b"answer"
            return str(server.getsockname()[0])


def is_refused(site: Site, address: IPv4Address, port: int) -> bool:
    """Whether the router's own stack resets a connection."""
    with inside(site.wires.client):
        try:
            socket.create_connection((str(address), port), timeout=DEADLINE).close()
        except ConnectionRefusedError:
            return True
    return False


def is_dropped(site: Site, port: int, *, source: IPv4Address = CLIENT) -> bool:
    """Whether nobody answers a client."""
    with inside(site.wires.client):
        try:
            socket.create_connection((str(VIP), port), timeout=SHORT, source_address=(str(source), 0)).close()
        except TimeoutError:
            return True
    return False


def drops(site: Site) -> dict[Drop, int]:
    found = site.dataplane.counters().services["www"].drops
    return {reason: count for reason, count in found.items() if count}


def test_a_range_of_ports_keeps_every_port(site: Site) -> None:
    put(site, service(Listener(address=VIP, port=8000, last_port=8099, protocol=TCP)))
    assert {echo_once(site, VIP, port) for port in (8000, 8050, 8099)} == {str(each) for each in SERVERS}
    assert is_refused(site, VIP, 8100)


def test_any_port_is_served_behind_a_single_one(site: Site) -> None:
    anything = service(Listener(address=VIP, port=0, last_port=65_535, protocol=TCP))
    alone = service(
        Listener(address=VIP, port=80, protocol=TCP),
        name="alone",
        destinations=(Destination(address=SERVERS[2], port=80, weight=1),),
    )
    put(site, anything)
    put(site, alone)
    assert {echo_once(site, VIP, port) for port in (81, 5000, 60_000)} == {str(each) for each in SERVERS}
    assert {echo_once(site, VIP, 80) for _ in range(3)} == {str(SERVERS[2])}


def test_one_virtual_server_listens_to_addresses_and_protocols(site: Site) -> None:
    both = [Listener(address=each, port=7000, protocol=TCP) for each in (VIP, SECOND_VIP)]
    put(site, service(*both, Listener(address=SECOND_VIP, port=7000, protocol=UDP)))
    assert echo_once(site, VIP, 7000) != echo_once(site, SECOND_VIP, 7000)
    with inside(site.wires.server):
        server = socket.create_server((str(SERVERS[2]), 7000))  # the third turn is the datagram's
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((str(SERVERS[2]), 7000))
    with inside(site.wires.client):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, datagrams, client:
        client.settimeout(DEADLINE)
        datagrams.settimeout(DEADLINE)
        client.connect((str(SECOND_VIP), 7000))
        client.send(b"question")
        question, sender = datagrams.recvfrom(64)
        assert (question, sender[0]) == (b"question", str(CLIENT))
        datagrams.sendto(b"answer", sender)
        assert client.recv(64) == b"answer"


def test_datagrams_of_one_socket_go_round(site: Site) -> None:
    put(site, service(Listener(address=VIP, port=53, protocol=UDP), port=5353, one_packet=True))
    for address in SERVERS:  # as health checks do: XDP leaves the turn of an unknown neighbour to TC
        with inside(site.wires.router), pytest.raises(ConnectionRefusedError):
            socket.create_connection((str(address), 1), timeout=DEADLINE)
    with contextlib.ExitStack() as opened:
        waiting = opened.enter_context(selectors.DefaultSelector())
        with inside(site.wires.server):
            for address in SERVERS:
                server = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                server.bind((str(address), 5353))
                waiting.register(server, selectors.EVENT_READ, address)
        with inside(site.wires.client):
            client = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(DEADLINE)
        client.connect((str(VIP), 53))
        reached = Counter[IPv4Address]()
        for number in range(12):
            client.send(b"question %d" % number)
            ((key, _),) = waiting.select(DEADLINE)
            assert isinstance(key.fileobj, socket.socket)
            question, sender = key.fileobj.recvfrom(64)
            assert question == b"question %d" % number
            key.fileobj.sendto(b"answer %d" % number, sender)
            assert client.recv(64) == b"answer %d" % number
            reached[key.data] += 1
    assert reached == dict.fromkeys(SERVERS, 4)
    assert site.dataplane.counters().connections_held == 0


def test_a_denied_source_is_dropped_and_an_allowed_one_inside_it_is_not(site: Site) -> None:
    inner = IPv4Address("198.18.0.77")
    run(f"ip -n {site.wires.client} address add {inner}/32 dev eth0")
    lists = Admission(allow=(ip_network(f"{inner}/32"),), deny=(ip_network("198.18.0.0/24"),))
    put(site, service(Listener(address=VIP, port=80, protocol=TCP), admission=lists))
    with listen(site, 80):
        assert is_dropped(site, 80)
        assert drops(site).keys() == {Drop.DENIED}
        assert not is_dropped(site, 80, source=inner)


def test_a_connection_over_the_limit_waits_until_another_is_over(site: Site) -> None:
    put(site, service(Listener(address=VIP, port=80, protocol=TCP), admission=Admission(connection_limit=2)))
    with listen(site, 80), contextlib.ExitStack() as opened:
        with inside(site.wires.client):
            for _ in range(2):
                opened.enter_context(socket.create_connection((str(VIP), 80), timeout=DEADLINE))
        assert is_dropped(site, 80)
        assert drops(site).keys() == {Drop.CONNECTION_LIMIT}


def test_a_source_that_opens_too_fast_is_dropped(site: Site) -> None:
    rate = Admission(source_rate=Rate(count=1, period=3600), source_burst=3)
    put(site, service(Listener(address=VIP, port=80, protocol=TCP), admission=rate))
    with listen(site, 80):
        assert [is_dropped(site, 80) for _ in range(4)] == [False, False, False, True]
    assert drops(site).keys() == {Drop.SOURCE_RATE}


def test_the_router_itself_is_a_real_server(site: Site) -> None:
    local = Destination(address=HERE, port=80, weight=1, method=ForwardingMethod.LOCAL)
    remote = Destination(address=SERVERS[0], port=80, weight=1)
    put(site, service(Listener(address=VIP, port=80, protocol=TCP), destinations=(local, remote)))
    with inside(site.wires.router):
        here = socket.create_server((str(VIP), 80))
    here.settimeout(DEADLINE)
    with here, listen(site, 80) as there, inside(site.wires.client):
        for listener in (here, there, here):
            with socket.create_connection((str(VIP), 80), timeout=DEADLINE) as client:
                server, _ = listener.accept()
                with server:
                    client.sendall(b"question")
                    assert server.recv(16) == b"question"
                    server.sendall(b"answer")
                    assert client.recv(16) == b"answer"


def test_a_firewall_mark_of_a_filter_before_leads_to_a_virtual_server(
    tcx_site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The filter marks port 9000 alone; the address is not that of a listener."""
    router, filter_ = tcx_site.wires.router, tmp_path_factory.mktemp("filter") / "mark.bpf.o"
    run(f"{CLANG} -target bpf -O2 -g -I/usr/include/$(uname -m)-linux-gnu -c {MARKING} -o {filter_}")
    put(tcx_site, service(marks=(7,)))
    tcx_site.reopen(sees_marks=True)
    assert [each.hook for each in tcx_site.dataplane.attachments()] == ["clsact", "clsact"]
    run(
        f"tc -n {router} filter add dev eth0 ingress pref 1 bpf direct-action object-file {filter_} section tc"
    )
    assert {echo_once(tcx_site, VIP, 9000) for _ in range(3)} == {str(each) for each in SERVERS}
    assert is_refused(tcx_site, VIP, 9001)
    tcx_site.reopen()
    assert [each.hook for each in tcx_site.dataplane.attachments()] == ["tcx", "tcx"]
    assert is_refused(tcx_site, VIP, 9000)
