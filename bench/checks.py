"""What steady health checking costs: 10,000 targets every two seconds, against servers that all answer.

    python bench/checks.py [--targets 10000] [--interval 2] [--seconds 8] [--probe tcp|http]

Prints one JSON object: checks a second, the share of one core that the asking process took (and how much of
it in the kernel), how late the wheel's slots were, and how many targets are up. It runs in a network
namespace of its own (root), or on the host's loopback.
"""

import argparse
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address

from shoal.model import (
    Cluster,
    ForwardingMethod,
    Health,
    Hook,
    HttpProbe,
    Listener,
    Monitor,
    Protocol,
    RealServer,
    TcpProbe,
    VirtualServer,
)
from shoal.nanny.engine import Engine
from shoal.nanny.targets import Listeners, Targets

PORT = 18200
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
WARM_UP = 2.5
_CLONE_NEWNET = 0x40000000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--probe", choices=["tcp", "http"], default="tcp")
    given = parser.parse_args(arguments)
    enter_namespace()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers = start_servers()
    try:
        result = measure(
            cluster(given.targets, interval=given.interval, http=given.probe == "http"), seconds=given.seconds
        )
    finally:
        os.kill(servers, signal.SIGKILL)
        os.waitpid(servers, 0)
    print(json.dumps({"probe": given.probe, "targets": given.targets, "interval": given.interval, **result}))
    return 0 if result["up"] == given.targets else 1


def enter_namespace() -> None:
    """A network namespace that goes with this process, with its loopback up."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def start_servers() -> int:
    """A process that answers on every loopback address; returns its id once it listens."""
    listener = socket.create_server(("", PORT), backlog=4096)
    child = os.fork()
    if child:
        listener.close()
        return child
    try:
        serve(listener)
    finally:
        os._exit(1)


def serve(listener: socket.socket) -> None:
    """Accept, answer what is asked, forget who resets."""
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == listener.fileno():
                for client in accept_all(listener):
                    clients[client.fileno()] = client
                    poller.register(client, select.EPOLLIN)
            elif answer(clients[descriptor]):
                clients.pop(descriptor).close()


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """Every connection that waits."""
    found = []
    while True:
        try:
            found.append(listener.accept()[0])
        except BlockingIOError:
            return found
        except OSError:
            continue


def answer(client: socket.socket) -> bool:
    """Answer a request; True when the client is done with."""
    try:
        if client.recv(4096):
            client.send(ANSWER)
            return False
    except OSError:
        return True
    return True


def cluster(targets: int, *, interval: float, http: bool) -> Cluster:
    """A configuration of that many real servers, each at a loopback address of its own."""
    probe = HttpProbe(path="/health") if http else TcpProbe()
    addresses = [IPv4Address(int(IPv4Address("127.1.0.1")) + number) for number in range(targets)]
    virtual_server = VirtualServer(
        name="www",
        listeners=(Listener(address=IPv4Address("192.0.2.10"), port=80, protocol=Protocol.TCP),),
        scheduler="rr",
        method=ForwardingMethod.NAT,
        monitor=Monitor(probe=probe, interval=interval),
        real_servers=tuple(RealServer(name=str(each), address=each, port=PORT) for each in addresses),
    )
    return Cluster(
        name="bench",
        serial=1,
        digest=b"",
        paths=(),
        routers=(),
        groups=(),
        virtual_servers=(virtual_server,),
        heartbeat_port=5390,
        heartbeat_interval=0.1,
        dead_time=0.3,
        key=b"",
        hook=Hook.AUTO,
        max_connections=1024,
        max_connections_ipv6=1024,
        max_virtual_servers=1,
        max_real_servers=4096,
        max_templates=65_536,
    )


def measure(cluster: Cluster, *, seconds: float) -> dict[str, float]:
    """Run the engine: warm up, then count."""
    engine = Engine()
    lags: list[float] = []
    targets = Targets(
        engine, tell=Listeners(changed=lambda *_: None, explained=lambda: None, void=lambda reason: None)
    )
    targets.load(cluster, remembered={})
    gc.collect()
    gc.freeze()
    run(engine, until=time.monotonic() + WARM_UP, lags=[])
    asked, cpu, kernel, began = engine.ended, time.process_time(), os.times().system, time.monotonic()
    run(engine, until=began + seconds, lags=lags)
    cpu, took = time.process_time() - cpu, time.monotonic() - began
    kernel = os.times().system - kernel
    checks = engine.ended - asked
    up = sum(target.health == Health.UP for target in targets.report(unix_offset=0).targets)
    engine.close()
    return {
        "checks_per_s": round(checks / took),
        "cpu_percent_of_a_core": round(100 * cpu / took, 1),
        "of_it_in_kernel_percent": round(100 * kernel / cpu),
        "us_per_check": round(1e6 * cpu / checks, 1),
        "slot_lag_p50_ms": round(1e3 * statistics.median(lags), 2),
        "slot_lag_p99_ms": round(1e3 * statistics.quantiles(lags, n=100)[98], 2),
        "up": up,
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def run(engine: Engine, *, until: float, lags: list[float]) -> None:
    """Turn the engine until then, noting how late each slot of the wheel was."""
    while time.monotonic() < until:
        engine.lag = -1.0
        engine.turn(longest=0.1)
        if engine.lag >= 0:
            lags.append(engine.lag)


if __name__ == "__main__":
    sys.exit(main())
