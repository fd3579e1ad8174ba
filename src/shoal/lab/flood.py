"""A SYN flood through the VIP, each SYN from a source of its own: how many could be sent.

    python -m shoal.lab.flood --interface eth0 --mac MAC --address VIP --port 80 --rate 100000 --seconds 30 \\
        --cpu 1 --output FILE

``--mac`` is whom the frames go to, ``--rate`` frames per second (0: as many as go), ``--cpu`` the only one it runs
on (-1: any). Unlike the watchers it is not real-time: it must not take a processor from those who are. The result is
``{"sent": count, "refused": count, "began": time, "ended": time}``; times are CLOCK_MONOTONIC seconds.
"""

import ctypes
import os
import random
import socket
import time
from ipaddress import ip_address
from typing import Any

from shoal.lab.syn_frames import SynFrames, Target
from shoal.lab.watcher import arguments, say_ready, wait_readable, write

FRAMES = 4096
LONGEST = 120.0  # seconds; a flood is bounded, whatever its starter does
_GROUP = 64
_ETHERNET_EVERYTHING = 0
_SOL_PACKET = 263
_PACKET_QDISC_BYPASS = 20  # include/uapi/linux/if_packet.h
_SO_SNDBUFFORCE = 32
_SEND_BUFFER = 1 << 28  # bytes
_CATCH_UP = (
    0.005  # seconds; what was missed because the machine was busy is not made up for by a longer burst
)
_LOOK_EVERY = 0.05


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr (socket.h)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_IoVector)),
        ("n_vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr (socket.h)."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class Flooder:
    """A packet socket and its frames."""

    def __init__(self, interface: str, *, mac: bytes, address: str, port: int) -> None:
        self.sent = self.refused = 0
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ETHERNET_EVERYTHING)
        self._sock.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        # frames count until the last of the veths has let go of them: a full queue must not hold the sender up
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
        self._sock.bind((interface, _ETHERNET_EVERYTHING))
        target = Target(
            source_mac=self._sock.getsockname()[4],
            destination_mac=mac,
            address=ip_address(address),
            port=port,
        )
        self._frames = SynFrames(target, count=FRAMES, chance=random.Random())
        self._messages, self._keep = _messages(self._frames)
        self._next = 0
        self._send: Any = ctypes.CDLL(None).sendmmsg

    def send(self) -> None:
        """Send a group of frames."""
        first = ctypes.byref(self._messages, self._next * ctypes.sizeof(_Message))
        done = self._send(self._sock.fileno(), first, _GROUP, socket.MSG_DONTWAIT)
        self.sent += max(0, done)
        self.refused += _GROUP - max(0, done)
        self._next += _GROUP
        if self._next == FRAMES:
            self._next = 0
            self._frames.turn()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def _messages(frames: SynFrames) -> tuple[Any, Any]:
    """What sendmmsg() wants to know of each frame, and what must live as long as that."""
    memory = (ctypes.c_char * len(frames.block)).from_buffer(frames.block)
    begin = ctypes.addressof(memory)
    vectors = (_IoVector * frames.count)(
        *(_IoVector(begin + number * frames.size, frames.size) for number in range(frames.count))
    )
    messages = (_Message * frames.count)()
    for message, vector in zip(messages, vectors, strict=True):
        message.header.vectors, message.header.n_vectors = ctypes.pointer(vector), 1
    return messages, (memory, vectors)


def run(flooder: Flooder, *, rate: float, seconds: float) -> dict[str, float]:
    """Flood until the time is over, or the starter closes standard input."""
    began = looked = now = time.monotonic()
    end, ended, due = began + min(seconds, LONGEST), False, began
    while now < end and not ended:
        if rate and due > now:
            time.sleep(due - now)
        flooder.send()
        now = time.monotonic()
        if rate:
            due = max(due + _GROUP / rate, now - _CATCH_UP)
        if now - looked > _LOOK_EVERY:
            looked = now
            _, ended = wait_readable([], seconds=0.0)
    return {"sent": flooder.sent, "refused": flooder.refused, "began": began, "ended": now}


def main() -> None:
    """Run as a program."""
    options = arguments(
        __doc__ or "",
        {
            "interface": str,
            "mac": lambda text: bytes.fromhex(text.replace(":", "")),
            "address": str,
            "port": int,
            "rate": float,
            "seconds": float,
            "cpu": int,
        },
    )
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    flooder = Flooder(options.interface, mac=options.mac, address=options.address, port=options.port)
    say_ready()
    document = run(flooder, rate=options.rate, seconds=options.seconds)
    flooder.close()
    write(options.output, document)


if __name__ == "__main__":
    main()
