"""The lab without its routers: built, entered, killed half-way, removed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import ConfigError, UnavailableError
from shoal.lab import cluster, namespaces, nodes
from shoal.lab.cluster import Lab
from shoal.lab.folder import LabFolder
from shoal.lab.topology import Topology
from support.labs import NAME, built, run, wait_for_echo

SMALL = Topology(name=NAME, router_count=1, real_server_count=2)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with built(SMALL) as it:
        yield it


def leftovers(topology: Topology) -> list[str]:
    """Namespaces, files and mounts that a lab may have left."""
    names = [name for name in map(topology.namespace, topology.nodes) if namespaces.exists(name)]
    folder = LabFolder(topology.name)
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder.path) in line]
    return names + mounts + ([str(folder.path)] if folder.path.exists() else [])


def shoal_lab(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shoal.lab", *arguments]
    return subprocess.run(
        command, env=nodes.environment(), capture_output=True, text=True, timeout=30, check=False
    )


def test_every_real_server_serves_its_own_page(lab: Lab):
    wait_for_echo(lab)
    for node in ("rs1", "rs2"):
        url = f"http://{lab.topology.address(node)}"
        page = run(lab, "lb1", "curl", "-sS", "--retry-connrefused", "--retry", "5", url)
        assert page == f"real server {node}\n"
        assert run(lab, "lb1", "curl", "-sS", f"{url}/health") == "ok\n"
        assert len(run(lab, "lb1", "curl", "-sS", f"{url}/1k")) == 1024


def test_the_configuration_is_readable_by_root_only(lab: Lab):
    assert lab.folder.config.stat().st_mode & 0o777 == 0o600


def test_exec_passes_the_exit_status_on(lab: Lab):
    assert shoal_lab("exec", "--name", NAME, "client", "--", "sh", "-c", "exit 7").returncode == 7


def test_exec_runs_in_the_nodes_namespace(lab: Lab):
    done = shoal_lab("exec", "--name", NAME, "rs2", "--", "ip", "-br", "-4", "address", "show", "eth0")
    assert done.stdout.split()[-1] == "10.211.0.22/24"


def test_exec_on_an_unknown_node_names_the_known_ones(lab: Lab):
    done = shoal_lab("exec", "--name", NAME, "lb9", "--", "true")
    assert done.returncode == 69
    assert done.stderr.splitlines() == [
        f"error: lab {NAME}: there is no node 'lb9'",
        "  fix: use one of net, client, lb1, rs1, rs2",
    ]


def test_two_commands_do_not_work_on_one_lab_at_a_time(lab: Lab):
    with cluster.locked(NAME):
        done = shoal_lab("down", "--name", NAME)
    assert done.returncode == UnavailableError.exit_code
    assert "another lab command is at work" in done.stderr


def test_only_the_processes_of_a_node_are_its_processes(lab: Lab):
    assert {namespaces.process_name(pid) for pid in lab.processes("rs1")} >= {"nginx"}
    assert lab.processes("client") == []
    assert os.getpid() not in lab.processes("rs1")


def test_status_is_told_even_while_no_router_runs(lab: Lab):
    status = lab.status()
    assert [(router["name"], router["state"]) for router in status["routers"]] == [("lb1", "gone")]
    assert [server["name"] for server in status["real_servers"]] == ["rs1", "rs2"]


def test_a_rebooted_router_has_fresh_cables_and_its_fixed_addresses_only(lab: Lab):
    run(lab, "lb1", "ip", "address", "add", "10.210.0.100/32", "dev", "eth0")
    nodes.reboot_router(lab.folder, lab.topology, "lb1")
    assert run(lab, "lb1", "ip", "-br", "-4", "address", "show", "eth0").split()[2:] == ["10.210.0.11/24"]
    assert run(lab, "lb1", "curl", "-sS", f"http://{lab.topology.address('rs1')}/health") == "ok\n"


def test_nothing_is_left_after_down():
    topology = Topology(name=f"{NAME}b", router_count=2, real_server_count=1)
    with built(topology) as lab:
        pids = lab.processes("rs1")
        assert pids
    assert leftovers(topology) == []
    assert [pid for pid in pids if "nginx" in " ".join(namespaces.command_line(pid))] == []


def test_down_is_no_error_when_there_is_no_lab():
    done = shoal_lab("down", "--name", f"{NAME}c")
    assert (done.returncode, done.stdout) == (0, f"there is no lab {NAME}c\n")
    assert leftovers(Topology(name=f"{NAME}c")) == []


def test_a_lab_that_was_killed_half_way_is_cleaned_by_the_next_build():
    topology = Topology(name=f"{NAME}d", router_count=1, real_server_count=1)
    half = subprocess.Popen(
        [sys.executable, "-m", "shoal.lab", "up", "--name", topology.name, "--routers", "2"],
        env=nodes.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while not namespaces.exists(f"{topology.name}-rs1") and time.monotonic() < deadline:
            time.sleep(0.001)
        half.send_signal(signal.SIGKILL)
        half.wait()
        assert namespaces.exists(f"{topology.name}-lb2")
        with built(topology):
            assert not namespaces.exists(f"{topology.name}-lb2")
    finally:
        cluster.down(topology.name)
    assert leftovers(topology) == []


def test_a_namespace_that_is_not_a_labs_is_never_touched():
    topology = Topology(name=f"{NAME}e", router_count=1, real_server_count=1)
    namespaces.add([f"{topology.name}-lb1"])
    try:
        with pytest.raises(ConfigError, match="exists and is not a lab's"):
            cluster.build(topology)
        assert namespaces.exists(f"{topology.name}-lb1")
    finally:
        namespaces.remove_all([f"{topology.name}-lb1"])
    assert leftovers(topology) == []
