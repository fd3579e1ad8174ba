"""The ``lvsd`` process: the daemon and its API on one asyncio loop."""

import asyncio
import importlib
import signal
from pathlib import Path

from shoal.lvsd.shell import Lvsd


async def serve(lvsd: Lvsd, *, socket_path: Path) -> None:
    """Run ``lvsd`` and its API until a signal ends them. Raises what the start of ``lvsd`` raises.

    SIGTERM and SIGINT leave the dataplane forwarding; SIGUSR1 removes it; SIGHUP reads the configuration
    again. The dataplane comes first: the web server is imported in a thread while ``lvsd`` works already.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lvsd.stop)
    loop.add_signal_handler(signal.SIGUSR1, lambda: lvsd.stop(remove=True))
    loop.add_signal_handler(signal.SIGHUP, lvsd.request_reload)
    await lvsd.start()
    async with asyncio.TaskGroup() as tasks:
        api = tasks.create_task(_serve_api(lvsd, socket_path), name="api")
        await lvsd.run()
        api.cancel()


async def _serve_api(lvsd: Lvsd, socket_path: Path) -> None:
    http = await asyncio.to_thread(importlib.import_module, "shoal.api.http")
    await http.serve_http(lvsd, socket_path)
