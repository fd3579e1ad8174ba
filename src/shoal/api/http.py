"""The API's web server: uvicorn on a Unix socket. Slow to import, so ``lvsd`` works before it is there."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from shoal.api.app import View, create_app

LINGER = 1  # s that answers under way get when the process ends


class _Server(uvicorn.Server):
    """uvicorn would take SIGTERM and SIGINT for itself; here they belong to ``lvsd``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve_http(lvsd: View, path: Path) -> None:
    """Answer requests on the Unix socket at ``path`` until cancelled."""
    sock = _listen(path)
    settings = uvicorn.Config(
        create_app(lvsd),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=LINGER,
    )
    server = _Server(settings)
    try:
        await server.serve(sockets=[sock])
    except asyncio.CancelledError:
        await server.shutdown(sockets=[sock])
        path.unlink(missing_ok=True)  # noqa: ASYNC240 (a socket file in a tmpfs)
        raise


def _listen(path: Path) -> socket.socket:
    """A listening stream socket for root only; a dead predecessor's socket file is replaced."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(0o600)  # before listen(): nobody has connected yet
    sock.listen(64)
    return sock
