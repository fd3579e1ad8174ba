"""Real servers on loopback, an engine to ask them with, and questions to ask."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

from shoal.model import Probe, Protocol, TcpProbe
from shoal.nanny.engine import Engine
from shoal.nanny.machine import Outcome, Verdict
from shoal.nanny.probes import prepare
from shoal.nanny.questions import Question

Conversation = Callable[[socket.socket], None]

PATIENCE = 10.0
"""Seconds after which a test gives up waiting."""


def question(
    port: int,
    probe: Probe | None = None,
    *,
    protocol: Protocol = Protocol.TCP,
    timeout: float = 1.0,
    interval: float = 1.0,
    address: str = "127.0.0.1",
) -> Question:
    """A question to a loopback address."""
    return Question(
        address=ip_address(address),
        port=port,
        protocol=protocol,
        probe=TcpProbe() if probe is None else probe,
        interval=interval,
        timeout=timeout,
        rise=2,
        fall=2,
    )


def ask(asked: Question, *, engine: Engine | None = None) -> Outcome:
    """The outcome of one probe."""
    used = Engine() if engine is None else engine
    outcomes: list[Outcome] = []
    try:
        used.start(
            prepare(asked)(), timeout=asked.timeout, ended=lambda outcome, now: outcomes.append(outcome)
        )
        turn_until(used, lambda: bool(outcomes))
    finally:
        if engine is None:
            used.close()
    return outcomes[0]


def turn_until(engine: Engine, done: Callable[[], bool]) -> None:
    """Run the engine until something is so."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        engine.turn(longest=0.05)


def wait_until(done: Callable[[], bool]) -> None:
    """Wait until something outside this thread is so."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.01)


@contextlib.contextmanager
def server(
    talk: Conversation,
    *,
    context: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[int]:
    """A TCP server that treats every connection, one after the other, with ``talk``; gives its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=128) as listener:
        closing = threading.Event()
        thread = threading.Thread(target=_serve, args=(listener, talk, context, closing))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            closing.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(
    listener: socket.socket, talk: Conversation, context: ssl.SSLContext | None, closing: threading.Event
) -> None:
    while not closing.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(PATIENCE)
        with (
            contextlib.suppress(OSError),
            connection,
        ):  # the probe resets the connection when it has its answer
            if context is None:
                talk(connection)
            else:
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    talk(wrapped)


def says(*pieces: bytes) -> Conversation:
    """Read a request, answer in these pieces, one packet each, and close."""

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(4096)
        for piece in pieces:
            connection.sendall(piece)
            threading.Event().wait(0.02)

    return talk


def waits(connection: socket.socket) -> None:
    """Say nothing until the other end has enough of it."""
    while connection.recv(4096):
        pass


@contextlib.contextmanager
def udp_server(answer: bytes | None, *, address: str = "127.0.0.1") -> Iterator[tuple[int, list[bytes]]]:
    """A UDP server that answers everything alike, or not at all; gives its port and what it has received."""
    received: list[bytes] = []
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        thread = threading.Thread(target=_serve_udp, args=(sock, answer, received))
        thread.start()
        try:
            yield sock.getsockname()[1], received
        finally:
            with socket.socket(family, socket.SOCK_DGRAM) as last:
                last.sendto(b"\0end", sock.getsockname())
            thread.join()


def _serve_udp(sock: socket.socket, answer: bytes | None, received: list[bytes]) -> None:
    while True:
        datagram, sender = sock.recvfrom(4096)
        if datagram == b"\0end":
            return
        received.append(datagram)
        if answer is not None:
            sock.sendto(answer, sender)


def closed_port(address: str = "127.0.0.1") -> int:
    """A port nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.bind((address, 0))
        port: int = sock.getsockname()[1]
        return port


def is_alive(pid_file: Path) -> bool:
    """Whether the process whose id is in the file runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ok(reason: str) -> Outcome:
    """A pass."""
    return Outcome(Verdict.PASS, reason)


def bad(reason: str) -> Outcome:
    """A failure."""
    return Outcome(Verdict.FAIL, reason)


def certificate(folder: Path, name: str) -> Path:
    """A certificate that signs itself, for a name and both loopback addresses, with its key in the same file."""
    path = folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1,IP:::1"),
            *("-keyout", str(path), "-out", str(path) + ".crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(str(path) + ".crt").read_text())
    return path
