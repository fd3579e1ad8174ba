"""What only the guest's kernel can tell. Run there, by test_debian_12.py; pytest on the host does not collect it."""

import os
from pathlib import Path

import pytest

from shoal.dataplane.ebpf.abi import built
from shoal.dataplane.ebpf.backend import EbpfDataplane, find_interfaces
from shoal.dataplane.ebpf.libbpf import Object
from shoal.model import Hook
from support.namespaces import bpffs, inside, run, wires

OBJECTS = sorted(path.name for path in Path(str(built(""))).glob("*.bpf.o"))


def test_the_kernel_is_that_of_debian_12() -> None:
    assert os.uname().release.startswith("6.1.")


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_is_taken(name: str) -> None:
    """By its verifier, which allows less than those that came after it."""
    loaded = Object(str(built(name)))
    try:
        loaded.load()
    finally:
        loaded.close()


def test_without_tcx_a_clsact_filter_is_attached(tmp_path: Path) -> None:
    """TCX came with Linux 6.6."""
    with wires("gc") as names, bpffs(tmp_path) as folder, inside(names.router):
        dataplane = EbpfDataplane.open(folder / "pins", max_connections=1024)
        try:
            dataplane.attach(find_interfaces(["eth0"]), Hook.AUTO)
            assert [each.hook for each in dataplane.attachments()] == ["clsact"]
            assert "shoal_tc" in run("tc filter show dev eth0 ingress")
        finally:
            dataplane.remove()
