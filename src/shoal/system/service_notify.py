"""What a service tells systemd about itself (sd_notify(3)); nothing where nobody asks."""

import os
import socket


class ServiceNotify:
    """Sends to ``NOTIFY_SOCKET``. ``watchdog``: seconds between signs of life that systemd wants; 0: none."""

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self.watchdog = int(os.environ.pop("WATCHDOG_USEC", "0")) / 2_000_000

    def tell(self, state: str) -> None:
        """Send a state such as ``READY=1``."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto(state.encode(), self._address)
            except OSError:
                return  # systemd is restarting: it asks again by its watchdog
