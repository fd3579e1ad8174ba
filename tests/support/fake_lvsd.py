"""The other end of a child's channel: collects what it says."""

import time
from collections.abc import Callable
from pathlib import Path

from shoal.ipc.messages import HealthReport, Message, Record
from shoal.system.channel import Channel, listen

PATIENCE = 10.0


class FakeLvsd:
    """Listens at a path. ``heard`` is everything from the connection it has now."""

    def __init__(self, path: Path) -> None:
        self._listener = listen(path)
        self._channel: Channel | None = None
        self.heard: list[Message] = []
        self.connections = 0

    def listen_once(self) -> None:
        """Take what is there now; a new connection replaces the old one."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            pass
        else:
            self._hang_up()
            self._channel = Channel(connection)
            self.heard = []
            self.connections += 1
        if self._channel is not None:
            messages = self._channel.receive()
            if messages is None:
                self._hang_up()
            else:
                self.heard += messages

    def until(self, done: Callable[[], bool], *, patience: float = PATIENCE) -> None:
        """Listen until something is so."""
        end = time.monotonic() + patience
        while True:
            self.listen_once()
            if done():
                return
            assert time.monotonic() < end, f"it did not happen in time; heard {self.heard}"
            time.sleep(0.002)

    @property
    def reports(self) -> list[HealthReport]:
        """The health reports heard."""
        return [message for message in self.heard if isinstance(message, HealthReport)]

    @property
    def records(self) -> list[Record]:
        """The journal lines heard."""
        return [message for message in self.heard if isinstance(message, Record)]

    def health(self) -> dict[str, str]:
        """Health by endpoint, as last heard."""
        latest = self.reports[-1].targets if self.reports else ()
        return {target.real_server: target.health for target in latest}

    def close(self) -> None:
        """Die."""
        self._hang_up()
        self._listener.close()

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
