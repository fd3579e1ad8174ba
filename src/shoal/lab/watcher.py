"""What the lab's small measuring programs share: their life, and the real-time priority they need.

A watcher says ``ready`` on its standard output, works until its standard input is closed (so it ends with
whoever started it, however that one died), writes what it saw as one JSON document, and exits.
"""

import argparse
import gc
import json
import os
import select
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PRIORITY = 30  # SCHED_FIFO: above everything a lab runs except a router's heartbeat
_LONGEST_LIFE = 300.0  # seconds; nothing here is meant to run for long


def become_realtime(priority: int = PRIORITY) -> bool:
    """Run under SCHED_FIFO, so that a busy machine is not measured as a lost packet. False: not permitted."""
    gc.freeze()
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def arguments(description: str, options: Mapping[str, Callable[[str], Any]]) -> argparse.Namespace:
    """Parse the watcher's options, all required, and ``--output``."""
    parser = argparse.ArgumentParser(description=description)
    for name, kind in options.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def family_of(address: str) -> socket.AddressFamily:
    """The family of a socket for an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def say_ready() -> None:
    """Tell the starter that measuring has begun."""
    print("ready", flush=True)


def wait_readable(sources: Sequence[socket.socket], *, seconds: float) -> tuple[list[socket.socket], bool]:
    """Wait for any source (microsecond resolution). The flag says that the starter wants the end."""
    readable: list[Any]
    readable, _, _ = select.select([sys.stdin, *sources], [], [], max(0.0, seconds))
    ended = sys.stdin in readable and not os.read(sys.stdin.fileno(), 1)
    return [source for source in readable if source is not sys.stdin], ended


def longest_life(now: float) -> float:
    """The moment at which a watcher ends by itself."""
    return now + _LONGEST_LIFE


def write(output: Path, document: object) -> None:
    """Write the result, whole or not at all."""
    draft = output.with_suffix(".new")
    draft.write_text(json.dumps(document))
    draft.replace(output)
