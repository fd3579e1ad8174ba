"""An installed Shoal needs no compiler: the wheel carries the compiled programs, and they load."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from shoal.dataplane.ebpf.objects import OBJECTS

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_COMPILER = "/usr/sbin:/sbin"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, unpacked as an installation would be."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("shoal-*.whl")
    installed = folder / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    return installed


def test_the_wheel_carries_the_programs_and_the_contract(unpacked: Path):
    built = unpacked / "shoal/dataplane/ebpf/built"
    carried = {file.name for file in built.iterdir() if not file.name.startswith(".")}
    assert carried >= {"abi.h", *OBJECTS}


def test_the_kernel_takes_the_installed_programs_where_there_is_no_compiler(unpacked: Path):
    environment = {"PATH": WITHOUT_COMPILER, "PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}
    code = (
        "import shoal, shoal.dataplane.ebpf.preflight as p; print(shoal.__file__); raise SystemExit(p.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == os.fspath(unpacked / "shoal/__init__.py")
