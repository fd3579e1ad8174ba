"""HTTP requests through the VIP, one after the other, each over a new connection, and what became of each.

    python -m shoal.lab.requests --address VIP --port 80 --interval 0.01 --output FILE

The result is a list of ``[sent, seconds, answer's first line or "", error or ""]``; times
are CLOCK_MONOTONIC seconds.
"""

import socket
import time
from ipaddress import ip_address
from typing import Any

from shoal.lab.networks import literal
from shoal.lab.watcher import arguments, longest_life, say_ready, wait_readable, write

TIMEOUT = 1.0
_RECEIVE = 8192


def get(address: str, port: int) -> tuple[str, str]:
    """One GET of ``/``: the body's first line, or what went wrong."""
    question = f"GET / HTTP/1.1\r\nHost: {literal(ip_address(address))}\r\nConnection: close\r\n\r\n".encode()
    answer = b""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT) as sock:
            sock.sendall(question)
            while chunk := sock.recv(_RECEIVE):
                answer += chunk
    except TimeoutError:
        return "", f"no answer within {TIMEOUT:g} s"
    except OSError as error:
        return "", error.strerror or str(error)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return "", head.split(b"\r\n", 1)[0].decode(errors="replace") or "empty answer"
    return body.split(b"\n", 1)[0].decode(errors="replace"), ""


def main() -> None:
    """Run as a program."""
    options = arguments(__doc__ or "", {"address": str, "port": int, "interval": float})
    requests: list[list[Any]] = []
    say_ready()
    end, ended = longest_life(time.monotonic()), False
    while not ended and time.monotonic() < end:
        sent = time.monotonic()
        line, error = get(options.address, options.port)
        requests.append([sent, time.monotonic() - sent, line, error])
        _, ended = wait_readable([], seconds=sent + options.interval - time.monotonic())
    write(options.output, requests)


if __name__ == "__main__":
    main()
