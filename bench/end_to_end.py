"""TCP through each way of balancing, on one CPU, beside plain kernel forwarding.

    taskset -c 1 .venv/bin/python bench/end_to_end.py [--rounds 9]

The modes take turns within every round; the score is the median of the ratios to plain forwarding in the same round.
Before each measurement the page is fetched and compared; wrk must report no error and no other status than 2xx;
iperf3's figure is what the receiver counted.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import balancing
from delivery import DeliveryError, bytes_of, requests_of
from figures import Aim, Part, Row, at_least
from machine import CpuTime, NoiseWatch, hand_over, leave_the_host, this_cpu
from ratios import same_round_ratios, spread, turned
from shoal.lab import namespaces
from shoal.model import Hook
from wiring import CLIENT, N_SERVERS, Router, build, daemon, server_name

BASELINE, OURS, PROXY = "forwarding", "shoal-tc", "haproxy"
MODES = (BASELINE, OURS, "nft-dnat", PROXY)
CONNECTIONS = 32
PAGE = "".join(f"{number:>63}\n" for number in range(16))  # 1 KiB
ABOUT = (
    "Client, router and three servers (nginx with a page of 1 KiB, iperf3) in network namespaces joined by veth, all "
    "on one CPU, so what the router costs is missing elsewhere. Forwarding is the kernel's own, with a multipath "
    "route to the servers; nft-dnat is nftables with connection tracking; HAProxy is a TCP proxy with one thread."
)
NGINX = """
daemon off; master_process off; pid {folder}/nginx{server}.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 60s; default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen {port} backlog=65535; root {folder}/pages; }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """Something to measure through a router. ``run`` returns how much was done, and the unit is that per second."""

    what: str
    unit: str
    run: Callable[[Router], tuple[float, float]]
    aim: Aim | None = None
    scale: float = 1.0


def output_of(command: Sequence[str], *, limit: float = 15.0) -> str:
    """What a program prints in the client's namespace. Raises DeliveryError after ``limit`` seconds."""
    try:
        done = subprocess.run(
            namespaces.enter(CLIENT, command), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeliveryError(f"{' '.join(command)} does not end") from error
    return done.stdout


def fetch(router: Router, *, limit: float = 3.0) -> None:
    """The page comes whole through this router. Raises DeliveryError."""
    url = f"http://{router.web}:{balancing.WEB_PORT}/"
    if output_of(["curl", "--silent", "--max-time", str(limit), url]) != PAGE:
        raise DeliveryError(f"{router.mode}: the page does not come")


def wrk(router: Router, *options: str) -> tuple[float, float]:
    """Requests by 32 connections for a second."""
    url = f"http://{router.web}:{balancing.WEB_PORT}/"
    counts = ["-t1", f"-c{CONNECTIONS}", "-d1s", "--timeout", "5s"]
    return requests_of(output_of(["wrk", *counts, *options, url]))


def iperf(router: Router, *options: str) -> tuple[float, float]:
    """Bytes through one connection for a second."""
    return bytes_of(output_of(["iperf3", "-c", str(router.bulk), "-t1", "-J", *options]))


TESTS = (
    Test(what="bulk to the servers", unit="Gbit/s", run=iperf, aim=at_least(0.98), scale=8e-9),
    Test(
        what="bulk from the servers",
        unit="Gbit/s",
        run=lambda router: iperf(router, "-R"),
        aim=at_least(0.98),
        scale=8e-9,
    ),
    Test(what="requests, keep-alive", unit="k/s", run=wrk, aim=at_least(0.99), scale=1e-3),
    Test(
        what="new connections",
        unit="k/s",
        run=lambda router: wrk(router, "-H", "Connection: close"),
        aim=at_least(0.95),
        scale=1e-3,
    ),
)
CPU_TEST = "new connections"  # its CPU time is shown too: it bears a noisy machine better than a rate


def start_servers(folder: Path) -> list[subprocess.Popen[bytes]]:
    """nginx on every server, iperf3 on the first."""
    pages = folder / "pages"
    pages.mkdir()
    (pages / "index.html").write_text(PAGE)
    folder.chmod(0o755)
    started = []
    for server in range(1, N_SERVERS + 1):
        config = folder / f"nginx{server}.conf"
        config.write_text(NGINX.format(folder=folder, server=server, port=balancing.WEB_PORT))
        command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config)]
        started.append(daemon(server_name(server), command))
    started.append(daemon(server_name(1), ["iperf3", "-s", "-p", str(balancing.BULK_PORT)]))
    return started


@contextmanager
def site(folder: Path, modes: Sequence[str]) -> Iterator[tuple[tuple[Router, ...], list[int]]]:
    """The routers, ready, and the process ids of the daemons."""
    routers = build(modes)
    by_mode = {router.mode: router for router in routers}
    pins = folder / "bpf"
    pins.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", pins], check=True)
    daemons = start_servers(folder)
    try:
        balancing.forward(by_mode[BASELINE])
        balancing.translate(by_mode["nft-dnat"])
        balancing.balance(by_mode[OURS], pins, hook=Hook.TC)
        if PROXY in by_mode:
            daemons.append(balancing.proxy(by_mode[PROXY], folder))
        for router in routers:
            wait_for(router)
        yield routers, [process.pid for process in daemons]
    finally:
        for process in daemons:
            process.kill()
            process.wait()
        subprocess.run(["umount", pins], check=True)


def wait_for(router: Router) -> None:
    """Until the page comes and bulk goes through; 5 s are enough for daemons to start."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with suppress(DeliveryError):
            fetch(router, limit=1.0)
            bytes_of(output_of(["iperf3", "-c", str(router.bulk), "-n", "64K", "-J"]))
            return
        time.sleep(0.05)
    raise DeliveryError(f"{router.mode}: no page, or no bulk, within 5 s")


def measure(rounds: int, cpu: int) -> list[Row]:
    """All tests through all modes, interleaved."""
    modes = [mode for mode in MODES if mode != PROXY or balancing.haproxy()]
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="sbe-") as name, site(Path(name), modes) as (routers, daemons):
        ours = CpuTime(cpu, daemons)
        for turn in range(rounds):
            for router in turned(routers, turn):
                for test in TESTS:
                    fetch(router)
                    before = ours.seconds()
                    amount, seconds = test.run(router)
                    rates.setdefault((test.what, router.mode), []).append(amount / seconds * test.scale)
                    if test.what == CPU_TEST:
                        costs.setdefault(router.mode, []).append((ours.seconds() - before) / amount * 1e6)
    rows = [
        row_of(test.what, mode, rates_of(rates, test.what), unit=test.unit, aim=test.aim)
        for test in TESTS
        for mode in MODES
    ]
    return rows + [row_of("CPU time of a new connection", mode, costs, unit="µs", aim=None) for mode in MODES]


def rates_of(rates: Mapping[tuple[str, str], list[float]], what: str) -> dict[str, list[float]]:
    """The values of one test, by mode."""
    return {mode: values for (name, mode), values in rates.items() if name == what}


def row_of(what: str, mode: str, values: Mapping[str, Sequence[float]], *, unit: str, aim: Aim | None) -> Row:
    """One mode's figure and its ratio to plain forwarding; a note where the mode was not there."""
    if mode not in values:
        return Row(what=what, how=mode, value=None, unit=unit, note="not installed")
    return Row(
        what=what,
        how=mode,
        value=spread(values[mode]),
        unit=unit,
        ratio=spread(same_round_ratios(values[mode], values[BASELINE])),
        aim=aim if mode == OURS else None,
    )


def main() -> None:
    """Measure, and print the part as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    cpu = this_cpu()
    leave_the_host()
    watch = NoiseWatch(cpu)
    try:
        rows = measure(arguments.rounds, cpu)
    except DeliveryError as error:
        sys.exit(f"end_to_end: {error}")
    hand_over(
        Part(
            name="end_to_end",
            title="TCP, everything on one CPU",
            about=ABOUT,
            command="taskset -c 1 .venv/bin/python bench/end_to_end.py",
            rounds=arguments.rounds,
            baseline=BASELINE,
            rows=tuple(rows),
            noise=watch.noise(),
            seconds=round(watch.seconds, 1),
        )
    )


if __name__ == "__main__":
    main()
