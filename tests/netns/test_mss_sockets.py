"""A clamped segment size under real sockets, whose SYNs have unfinished checksums, on TC and XDP."""

import socket
from collections.abc import Iterator

import pytest

from shoal.dataplane.base import Destination, PutService, Service
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.model import ForwardingMethod, Hook, Listener, Protocol
from support.namespaces import SERVERS, VIP, Wires, bpffs, counter, inside, run, wires

DEADLINE = 10.0
TIMESTAMPS = 12  # bytes that every segment has less than its MSS


@pytest.fixture(scope="module", params=[Hook.TC, Hook.XDP], ids=str)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Wires, EbpfDataplane]]:
    with wires("sms") as found, bpffs(tmp_path_factory.mktemp("pins")) as folder:
        for end in (found.client, found.server):
            run(f"ip netns exec {end} ethtool -K eth0 gro on")  # XDP's frames to a veth need its peer's NAPI
        with inside(found.router):
            dataplane = EbpfDataplane.open(folder / "pins", max_connections=1024)
            dataplane.attach(find_interfaces(["eth0", "eth1"]), request.param)
        try:
            yield found, dataplane
        finally:
            with inside(found.router):
                dataplane.remove()


@pytest.mark.parametrize("clamp", [1000, 1360, True, False])
def test_both_ends_take_the_clamp_for_the_others_word(
    site: tuple[Wires, EbpfDataplane], clamp: bool | int
) -> None:
    found, dataplane = site
    dataplane.apply([PutService(service=service(clamp))])
    errors = [counter(end, "TcpInCsumErrors") for end in (found.client, found.server)]
    retransmitted = counter(found.client, "TcpRetransSegs")
    with inside(found.server):
        listener = socket.create_server((str(SERVERS[0]), 8080))
    with inside(found.client), listener:
        listener.settimeout(DEADLINE)
        with (
            socket.create_connection((str(VIP), 80), timeout=DEADLINE) as client,
            listener.accept()[0] as server,
        ):
            sizes = [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for each in (client, server)]
            client.sendall(b"x" * 3000)
            assert len(server.recv(3000, socket.MSG_WAITALL)) == 3000
    expected = (clamp if clamp > 1 else 1460) - TIMESTAMPS
    assert sizes == [expected, expected]
    assert [counter(end, "TcpInCsumErrors") for end in (found.client, found.server)] == errors
    assert counter(found.client, "TcpRetransSegs") == retransmitted


def service(clamp: bool | int) -> Service:
    """Port 80 by nat over one real server, clamped."""
    return Service(
        name="web",
        listeners=(Listener(address=VIP, port=80, protocol=Protocol.TCP),),
        scheduler="rr",
        method=ForwardingMethod.NAT,
        destinations=(Destination(address=SERVERS[0], port=8080, weight=1),),
        mss_clamp=clamp,
    )
