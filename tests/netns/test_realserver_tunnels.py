"""A real server under method tunnel: real sockets behind packets within packets, and shoal realserver on a host."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.dataplane.ebpf.links import Links
from shoal.model import Encapsulation, Hook
from shoal.realserver.decapsulation import Decapsulation
from shoal.realserver.devices import KernelDevices
from shoal.realserver.tunnels import Device, openings, tunnel
from support.namespaces import bpffs, counter, inside, own_name, run
from support.packets import checksum
from support.tunnels import encapsulate, ip, udp_within

HERE = {4: "10.0.1.21", 6: "2001:db8:1::21"}
ROUTER = {4: "10.0.1.11", 6: "2001:db8:1::11"}
VIP = {4: "192.0.2.10", 6: "2001:db8::10"}
CLIENT = {4: "198.51.100.7", 6: "2001:db8:2::7"}
FAMILIES = (4, 6)
FAR_MAC, HERE_MAC = "02:00:00:00:00:11", "02:00:00:00:00:21"
KINDS = {"ipip": Encapsulation.IPIP, "gre": Encapsulation.GRE, "gue": Encapsulation.GUE}
TCP, SYN, ACK = 6, 0x02, 0x10
SOL_PACKET, PACKET_VNET_HDR = 263, 15
NEEDS_CSUM = 1
CONFIG = f"""
[paths.public]
interface = "eth0"

[[virtual_servers]]
name = "www"
listen = ["{VIP[4]}:80/tcp"]
method = "tunnel"
encap = "gue"
real_servers = ["{HERE[4]}:80"]

[[virtual_servers]]
name = "wwws"
listen = ["{VIP[4]}:443/tcp"]
method = "tunnel"
real_servers = ["{HERE[4]}:443"]
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A real server's namespace, and the one at the other end of its cable."""

    name: str
    far: str


@pytest.fixture
def host() -> Iterator[Host]:
    """eth0 with an address of each family; everything else is behind the far end, which only plays tapes."""
    own = own_name("srt")
    names = Host(f"{own}-rs", f"{own}-far")
    try:
        for name in (names.name, names.far):
            run(f"ip netns add {name} && ip -n {name} link set lo up")
        run(f"ip link add eth0 netns {names.name} address {HERE_MAC} type veth peer name eth0 "
            f"netns {names.far} address {FAR_MAC}")  # fmt: skip
        for name in (names.far, names.name):
            run(f"ip -n {name} link set eth0 up")
        run(f"ip -n {names.name} address add {HERE[4]}/24 dev eth0")
        run(f"ip -n {names.name} address add {HERE[6]}/64 dev eth0 nodad")
        for router in ROUTER.values():
            run(f"ip -n {names.name} neighbour add {router} lladdr {FAR_MAC} dev eth0")
            run(f"ip -n {names.name} route add default via {router}")
        yield names
    finally:
        for name in (names.name, names.far):
            if Path(f"/run/netns/{name}").exists():
                run(f"ip netns del {name}")


class Wire:
    """The far end of the cable, frame by frame, with the header that says what is unfinished (virtio_net.h)."""

    def __init__(self, host: Host) -> None:
        with inside(host.far):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self._socket.bind(("eth0", 0))
        self._socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self._socket.settimeout(5)

    def send(self, packet: bytes, *, tcp_at: int = 0) -> None:
        """``tcp_at``: where in the packet a TCP header begins whose checksum is left open."""
        ethertype = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
        mac = bytes.fromhex((HERE_MAC + FAR_MAC).replace(":", ""))
        header = struct.pack("=BBHHHH", 0, 0, 0, 0, 0, 0)
        if tcp_at:
            header = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, 14 + tcp_at, 16)
        self._socket.send(header + mac + ethertype + packet)

    def receive(self, source: str, protocol: int) -> bytes:
        """The payload of the next packet from an address by a protocol."""
        while True:
            packet = self._socket.recv(65536)[10 + 14 :]
            if not packet:
                continue
            is_ipv6 = packet[0] >> 4 == 6
            found = (
                (packet[8:24], packet[6], packet[40:]) if is_ipv6 else (packet[12:16], packet[9], packet[20:])
            )
            if found[:2] == (ip_address(source).packed, protocol):
                return found[2]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(host: Host) -> Iterator[Wire]:
    end = Wire(host)
    yield end
    end.close()


@pytest.fixture
def opened(host: Host, tmp_path: Path) -> Iterator[Host]:
    """The host with both virtual addresses, opening every kind of tunnel to both of its own."""
    for family, address in VIP.items():
        run(f"ip -n {host.name} address add {address}/{32 if family == 4 else 128} dev lo")
    tunnels = [tunnel(ip_address(HERE[f]), encap, 6080) for f in FAMILIES for encap in Encapsulation]
    wanted = openings(tunnels, map(ip_address, VIP.values()))
    with bpffs(tmp_path) as folder:
        program = Decapsulation(folder / "realserver")
        with inside(host.name):
            index = {name: number for number, name in socket.if_nameindex()}
            program.apply(wanted, interfaces=["eth0"], present=index)
        assert program.openings() == wanted
        yield host
        program.remove(index)


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> int:
    """What a sender that leaves the checksum to the device has put into its place."""
    ends = ip_address(source).packed + ip_address(destination).packed
    return ~checksum(ends + struct.pack("!II", length, protocol)) & 0xFFFF


def tcp(source: str, destination: str, *, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
    """A TCP packet from port 4711 to 80, its checksum left to the device."""
    check = pseudo_header(source, destination, TCP, 20 + len(payload))
    header = struct.pack("!HHIIBBHHH", 4711, 80, seq, ack, 5 << 4, flags, 65535, check, 0)
    return ip(source, destination, TCP, header + payload)


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("kind", [*KINDS, "gue1"])
def test_a_server_gets_the_clients_datagram_and_answers_the_client(
    opened: Host, wire: Wire, kind: str, outer: int, inner: int
):
    family = socket.AF_INET if inner == 4 else socket.AF_INET6
    with inside(opened.name):
        server = socket.socket(family, socket.SOCK_DGRAM)
    with server:
        server.bind((VIP[inner], 53))
        server.settimeout(5)
        question = udp_within(CLIENT[inner], VIP[inner], (4711, 53), b"question")
        wire.send(encapsulate(kind, ROUTER[outer], HERE[outer], question))
        received, client = server.recvfrom(100)
        assert (received, client[:2]) == (b"question", (CLIENT[inner], 4711))
        server.sendto(b"answer", client)
    assert wire.receive(VIP[inner], 17)[8:] == b"answer"


@pytest.mark.parametrize("inner", FAMILIES)
@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_open_checksums_of_a_local_sender_survive(
    opened: Host, wire: Wire, kind: str, outer: int, inner: int
):
    """One TCP connection by hand; nobody has computed its checksums, as between namespaces of one host."""
    family = socket.AF_INET if inner == 4 else socket.AF_INET6
    ends = CLIENT[inner], VIP[inner]
    content = bytes(range(256)) * 5

    def send(packet: bytes) -> None:
        wrapped = encapsulate(kind, ROUTER[outer], HERE[outer], packet)
        wire.send(wrapped, tcp_at=len(wrapped) - len(packet) + (20 if inner == 4 else 40))

    with inside(opened.name):
        server = socket.create_server((VIP[inner], 80), family=family)
    with server:
        server.settimeout(5)
        send(tcp(*ends, seq=1000, ack=0, flags=SYN))
        theirs = struct.unpack("!I", wire.receive(VIP[inner], TCP)[4:8])[0] + 1
        send(tcp(*ends, seq=1001, ack=theirs, flags=ACK))
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            send(tcp(*ends, seq=1001, ack=theirs, flags=ACK, payload=content))
            received = b""
            while len(received) < len(content):
                received += connection.recv(65536)
    assert received == content
    assert counter(opened.name, "TcpInCsumErrors") == 0


def shoal(host: Host, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``shoal realserver`` in the host's namespace."""
    places = ["--run-dir", str(folder / "run"), "--bpf-dir", str(folder / "bpf/shoal")]
    with inside(host.name):
        return subprocess.run(
            [sys.executable, "-m", "shoal.cli", "realserver", *arguments, *places],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )


def settings(host: Host) -> list[str]:
    names = ("all.arp_ignore", "eth0.arp_announce", "eth0.rp_filter", "all.rp_filter")
    return run(f"ip netns exec {host.name} sysctl -n {' '.join(f'net.ipv4.conf.{n}' for n in names)}").split()


def on_lo(host: Host) -> list[str]:
    (lo,) = json.loads(run(f"ip -n {host.name} -j address show dev lo"))
    return [each["local"] for each in lo["addr_info"] if each["family"] == "inet"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Places for a run folder and for pins."""
    (tmp_path / "bpf").mkdir()
    with bpffs(tmp_path / "bpf"):
        yield tmp_path


def test_apply_check_and_remove_by_address(host: Host, wire: Wire, folder: Path):
    run(f"ip netns exec {host.name} sysctl -qw net.ipv4.conf.eth0.rp_filter=1")
    tunnel_to = ("--vip", VIP[4], "--method", "tunnel", "--encap", "gue")
    before = settings(host)
    assert shoal(host, folder, "check", *tunnel_to).returncode == 1
    for _ in range(2):
        applied = shoal(host, folder, "apply", *tunnel_to, "--json")
        assert applied.returncode == 0, applied.stderr
    assert json.loads(applied.stdout)["tunnels"] == {
        f"gue to {each} port 6080": "ebpf" for each in HERE.values()
    }
    assert settings(host)[:3] == ["1", "2", "2"]
    assert on_lo(host) == ["127.0.0.1", VIP[4]]
    checked = shoal(host, folder, "check", *tunnel_to)
    assert (checked.returncode, checked.stdout.splitlines()[0]) == (0, "right"), checked.stdout
    assert "raise the MTU between routers and real servers to 1552" in checked.stdout
    assert "nothing here opens these packets" in shoal(host, folder, "check", *tunnel_to[:-1], "ipip").stdout
    removed = shoal(host, folder, "remove")
    assert removed.stdout == f"removed: {VIP[4]}, the BPF program\n"
    assert shoal(host, folder, "remove").stdout == "removed: nothing\n"
    assert settings(host) == before
    assert on_lo(host) == ["127.0.0.1"]
    assert not (folder / "bpf/shoal-realserver").exists()


def test_the_configuration_tells_which_packets_are_opened(host: Host, wire: Wire, folder: Path):
    file = folder / "shoal.toml"
    file.write_text(CONFIG)
    try:
        applied = shoal(host, folder, "apply", "-c", str(file), "--json")
        opened = json.loads(applied.stdout)["tunnels"]
        assert opened.keys() == {f"gue to {HERE[4]} port 6080", f"ipip to {HERE[4]}"}
        with inside(host.name):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with server:
            server.bind((VIP[4], 80))
            server.settimeout(5)
            question = udp_within(CLIENT[4], VIP[4], (4711, 80), b"question")
            wire.send(encapsulate("gre", ROUTER[4], HERE[4], question))
            wire.send(encapsulate("gue", ROUTER[4], HERE[4], question))
            assert server.recv(100) == b"question"
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.recv(100)
    finally:
        shoal(host, folder, "remove")


def test_a_change_closes_what_is_not_wanted_any_more(host: Host, folder: Path):
    def opened() -> dict[str, str]:
        return json.loads(applied.stdout)["tunnels"]  # type: ignore[no-any-return]

    applied = shoal(host, folder, "apply", "--vip", VIP[4], "--method", "tunnel", "--encap", "gue", "--json")
    assert opened() == {f"gue to {each} port 6080": "ebpf" for each in HERE.values()}
    stale = shoal(host, folder, "check", "--vip", VIP[4])
    assert "the BPF program: it opens packets for no virtual server any more" in stale.stdout
    applied = shoal(host, folder, "apply", "--vip", VIP[4], "--json")
    assert opened() == {}
    assert shoal(host, folder, "check", "--vip", VIP[4]).returncode == 0
    assert not (folder / "bpf/shoal-realserver").exists()
    shoal(host, folder, "remove")


@pytest.mark.parametrize("kind", ["ipip", "gre"])
def test_whoever_opens_the_packets_the_server_gets_them(host: Host, wire: Wire, folder: Path, kind: str):
    """A device of the kernel where it has one, else our program; nothing of either is left behind."""
    before = run(f"ip -n {host.name} -o link show | grep -c shoal- || true")
    by = ("--vip", VIP[4], "--method", "tunnel", "--encap", kind)
    applied = shoal(host, folder, "apply", *by, "--json")
    assert applied.returncode == 0, applied.stderr
    (how,) = set(json.loads(applied.stdout)["tunnels"].values())
    devices = run(f"ip -n {host.name} -o link show").count(" shoal-")
    assert (how, devices) in (("kernel", len(HERE)), ("ebpf", 0))
    assert shoal(host, folder, "check", *by).returncode == 0
    with inside(host.name):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind((VIP[4], 53))
        server.settimeout(5)
        question = udp_within(CLIENT[4], VIP[4], (4711, 53), b"question")
        wire.send(encapsulate(kind, ROUTER[4], HERE[4], question))
        assert server.recv(100) == b"question"
    assert shoal(host, folder, "remove").returncode == 0
    assert run(f"ip -n {host.name} -o link show | grep -c shoal- || true") == before


def test_a_router_that_is_a_real_server_too_keeps_its_own_filter(
    host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where the kernel has no TCX both are clsact filters of the same interface."""
    original = Links.__init__
    monkeypatch.setattr(
        Links, "__init__", lambda self, *given, **more: original(self, *given, **more, use_tcx=False)
    )
    wanted = openings([tunnel(ip_address(HERE[4]), Encapsulation.IPIP, 0)], [ip_address(VIP[4])])
    program = Decapsulation(folder / "bpf/realserver")

    def filters() -> int:
        return run(f"tc -n {host.name} filter show dev eth0 ingress").count("direct-action")

    with inside(host.name):
        index = {name: number for number, name in socket.if_nameindex()}
        router = EbpfDataplane.open(folder / "bpf/shoal", max_connections=1024)
        router.attach(find_interfaces(["eth0"]), Hook.TC)
        for _ in range(2):
            program.apply(wanted, interfaces=["eth0"], present=index)
        assert filters() == 2
        assert program.remove(index)
        assert filters() == 1
        router.remove()
        assert filters() == 0


def test_devices_of_the_kernel_are_made_kept_and_taken_away_and_no_others(host: Host):
    """With devices that every kernel has in the place of its tunnels'."""
    run(f"ip -n {host.name} link add foreign type bridge")
    first, second, lacking = (tunnel(ip_address(HERE[4]), each, 6080) for each in Encapsulation)
    wanted = {
        first: (Device(name="shoal-one", arguments=("type", "bridge")),),
        second: (),
        lacking: (
            Device(name="shoal-two", arguments=("type", "bridge")),
            Device(name="shoal-three", arguments=("type", "nosuchkind")),
        ),
    }
    kernel = KernelDevices()
    with inside(host.name):
        for _ in range(2):
            assert kernel.apply(wanted) == {first}
        assert kernel.opened(wanted) == {first}
        assert list(kernel.present()) == ["shoal-one"]
        assert kernel.superfluous({second: ()}) == ("shoal-one",)
        assert kernel.apply({second: ()}) == frozenset()
        assert kernel.present() == {}
        assert kernel.apply(wanted) == {first}
        assert kernel.remove() == ("shoal-one",)
        assert {"foreign", "eth0"} <= kernel.mtu().keys()
