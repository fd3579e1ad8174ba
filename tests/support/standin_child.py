"""A stand-in for nanny or pulse: holds the lock, says hello to lvsd, and writes down the signals it gets.

``python -m support.standin_child shoal-NAME RUN_DIR CONFIG``
"""

import selectors
import signal
import socket
import sys
import time
from pathlib import Path

from shoal.config import load
from shoal.ipc.messages import HealthReport, Hello, TargetHealth
from shoal.system.channel import Channel
from shoal.system.places import Places
from shoal.system.process import ProcessLock


def health(config: Path) -> HealthReport:
    """Everything is up."""
    cluster = load(config)
    targets = [
        TargetHealth(
            virtual_server=virtual.name,
            real_server=real.endpoint,
            health="up",
            reason="answers",
            since=time.time(),
        )
        for virtual in cluster.virtual_servers
        for real in virtual.real_servers
    ]
    return HealthReport(config_digest=cluster.digest.hex(), targets=tuple(targets))


def main() -> None:
    """Until SIGTERM."""
    name, places, config = (
        sys.argv[1].removeprefix("shoal-"),
        Places(run=Path(sys.argv[2])),
        Path(sys.argv[3]),
    )
    lock = ProcessLock.acquire(places.lock(name), what=name)
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    selector = selectors.DefaultSelector()
    selector.register(reader, selectors.EVENT_READ)
    channel: Channel | None = None
    while True:
        if channel is None and (channel := Channel.connect(places.ipc_socket)) is not None:
            channel.send(Hello(child=name, pid=0))  # type: ignore[arg-type]
            if name == "nanny":
                channel.send(health(config))
            selector.register(channel, selectors.EVENT_READ)
        for key, _ in selector.select(0.05 if channel is None else None):
            if key.fileobj is reader:
                for number in reader.recv(16):
                    with (places.run / "signals").open("a") as file:
                        file.write(f"{name} {signal.Signals(number).name}\n")
                    if number == signal.SIGTERM:
                        lock.release()
                        return
            elif channel is not None and channel.receive() is None:
                selector.unregister(channel)
                channel.close()
                channel = None


if __name__ == "__main__":
    main()
