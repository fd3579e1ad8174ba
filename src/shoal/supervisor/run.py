"""``shoal run``: check everything, then supervise."""

import os
from functools import partial
from pathlib import Path

from shoal import config
from shoal.supervisor.children import ChildTable, Service, child_table
from shoal.supervisor.preflight import Checked, check_interfaces, check_rights, find_router
from shoal.supervisor.shell import Supervisor
from shoal.system.bpffs import ensure_bpffs
from shoal.system.host import this_host
from shoal.system.places import Places
from shoal.system.process import ProcessLock, set_process_name
from shoal.system.service_notify import ServiceNotify


def check(source: Path, *, router: str | None) -> Checked:
    """Read the operator's file and see that this host can run it. Raises what is wrong; changes nothing."""
    config.load(source)
    text = source.read_bytes()
    cluster = config.parse(
        text.decode(), source=str(source)
    )  # of exactly the bytes that the children will read
    host = this_host()
    found = find_router(cluster, host, name=router)
    check_interfaces(cluster, host, source=source)
    return Checked(cluster=cluster, router=found.name, text=text)


def run(
    source: Path, *, router: str | None, places: Places, dataplane: str, table: ChildTable = child_table
) -> int:
    """Run a router until SIGTERM or SIGINT; its exit status. ShoalError: it cannot run, nothing changed."""
    source = source.absolute()
    checked = check(source, router=router)
    check_rights(this_host(), dataplane=dataplane)
    lock = ProcessLock.acquire(places.lock("supervisor"), what="Shoal")
    set_process_name("shoal")
    if dataplane == "ebpf":
        ensure_bpffs(places.pins)
    service = Service(
        source=source, router=checked.router, places=places, dataplane=dataplane, supervisor=os.getpid()
    )
    supervisor = Supervisor(
        service,
        check=partial(check, source, router=router),
        checked=checked,
        notify=ServiceNotify(),
        table=table,
    )
    code = supervisor.run()
    lock.release()
    return code
