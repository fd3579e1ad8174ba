"""Where ``lvsd`` meets its siblings: a SEQPACKET listener on an asyncio loop."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from shoal.errors import PeerError
from shoal.ipc.messages import Hello, Message
from shoal.system.channel import Channel, listen


class Rendezvous:
    """Accepts channels and knows who is at the other end of each, once it has said ``Hello``.

    ``on_message(child, message)`` is called on the loop for everything but Hello; ``on_change(child)``
    when a sibling came or went. One that sends garbage is disconnected: it comes back with its whole report.
    """

    def __init__(
        self, path: Path, *, on_message: Callable[[str, Message], None], on_change: Callable[[str], None]
    ) -> None:
        self._path = path
        self._on_message = on_message
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._channels: dict[Channel, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._listener = listen(path)
        self._loop.add_reader(self._listener, self._accept)

    def connected(self, child: str) -> bool:
        """Whether that sibling is connected."""
        return child in self._channels.values()

    def send(self, child: str, message: Message) -> bool:
        """Send to a sibling; False when it is not connected."""
        sent = [channel.send(message) for channel, name in self._channels.items() if name == child]
        return any(sent)

    def close(self) -> None:
        """Stop listening and disconnect everybody."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for channel in list(self._channels):
            self._drop(channel)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        channel = Channel(sock)
        self._channels[channel] = ""
        self._loop.add_reader(channel.fileno(), self._read, channel)

    def _read(self, channel: Channel) -> None:
        try:
            messages = channel.receive()
        except PeerError:
            messages = None
        if messages is None:
            self._on_change(self._drop(channel))
            return
        for message in messages:
            if isinstance(message, Hello):
                self._channels[channel] = message.child
                self._on_change(message.child)
            else:
                self._on_message(self._channels[channel], message)

    def _drop(self, channel: Channel) -> str:
        self._loop.remove_reader(channel.fileno())
        channel.close()
        return self._channels.pop(channel)
