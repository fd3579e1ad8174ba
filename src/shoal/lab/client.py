"""The client of ``shoal lab try``: real HTTP, DNS over UDP and bulk transfers through the VIP, each over its own
connection.

    python -m shoal.lab.client --address VIP --digest SHA256

Prints one JSON object: for each trial what was seen, or ``error``. Runs in the client's namespace.
"""

import argparse
import hashlib
import http.client
import json
import random
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from shoal.errors import ShoalError
from shoal.lab import dns
from shoal.lab.texts import DNS_PORT, ECHO_PORT, HTTP_PORT
from shoal.lab.watcher import family_of

TIMEOUT = 20.0
REQUESTS = 12
QUESTIONS = 12
LINE = 30_000
LINES = 400
_CHUNK = 1 << 16


def fetch(address: str) -> dict[str, Any]:
    """GET / over new connections: who answered."""
    names = set()
    for _ in range(REQUESTS):
        connection = http.client.HTTPConnection(address, HTTP_PORT, timeout=TIMEOUT)
        connection.request("GET", "/")
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            return {"error": f"status {response.status}"}
        names.add(response.read().decode().split()[-1])
        connection.close()
    return {"requests": REQUESTS, "real_servers": sorted(names)}


def ask(address: str) -> dict[str, Any]:
    """DNS over UDP from new ports: who answered."""
    names = set()
    for _ in range(QUESTIONS):
        number = random.randrange(1 << 16)
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect((address, DNS_PORT))
            sock.send(dns.question(number))
            names.add(dns.text_in(sock.recv(_CHUNK), number=number))
    return {"questions": QUESTIONS, "real_servers": sorted(names)}


def download(address: str, digest: str) -> dict[str, Any]:
    """One large file; its SHA-256 must be the one that was given."""
    begun, size, found = time.monotonic(), 0, hashlib.sha256()
    connection = http.client.HTTPConnection(address, HTTP_PORT, timeout=TIMEOUT)
    connection.request("GET", "/bulk")
    response = connection.getresponse()
    while chunk := response.read(_CHUNK):
        found.update(chunk)
        size += len(chunk)
    connection.close()
    if found.hexdigest() != digest:
        return {"error": f"{size} bytes with another SHA-256"}
    return {"bytes": size, "seconds": round(time.monotonic() - begun, 3)}


def exchange(address: str) -> dict[str, Any]:
    """Long lines to the echo and back, so that the client sends full segments too."""
    begun = time.monotonic()
    with (
        socket.create_connection((address, ECHO_PORT), timeout=TIMEOUT) as sock,
        sock.makefile("rb") as answers,
    ):
        for number in range(LINES):
            line = bytes([97 + number % 26]) * LINE + b"\n"
            sock.sendall(line)
            if answers.readline().split()[1:] != [line.strip()]:
                return {"error": f"line {number + 1} came back changed"}
    return {"bytes": LINES * LINE, "seconds": round(time.monotonic() - begun, 3)}


def attempt(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a trial saw, or why it came to nothing."""
    try:
        return trial()
    except (OSError, http.client.HTTPException, ShoalError) as error:
        return {"error": str(error) or type(error).__name__}


def trials(address: str, digest: str) -> Mapping[str, Callable[[], dict[str, Any]]]:
    """All of them, by name."""
    return {
        "http": lambda: fetch(address),
        "dns": lambda: ask(address),
        "download": lambda: download(address, digest),
        "exchange": lambda: exchange(address),
    }


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--digest", required=True)
    options = parser.parse_args()
    found = {name: attempt(trial) for name, trial in trials(options.address, options.digest).items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
