"""The real API server on a real Unix socket, over any view, in a thread."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from shoal.api.app import View
from shoal.api.http import serve_http
from shoal.system.places import Places

DEADLINE = 10.0


@contextlib.contextmanager
def served(lvsd: View, run_dir: Path) -> Iterator[Path]:
    """Serve ``lvsd`` at the API socket of ``run_dir``, which it gives."""
    path = Places(run=run_dir).api_socket
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve_http(lvsd, path), name="api")

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run, name="api")
    thread.start()
    try:
        wait_for(path)
        yield path
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(DEADLINE)
        loop.close()


def wait_for(path: Path) -> None:
    """Until there is something at ``path``."""
    deadline = time.monotonic() + DEADLINE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.005)
