"""Wheel hook: an installed Shoal needs no compiler, so the BPF objects are built before packing."""

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BpfObjects(BuildHookInterface[Any]):
    """Run script/build-bpf (needs clang; does nothing when the objects are up to date)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and mark the wheel as bound to neither a Python ABI nor a machine (BPF is portable)."""
        subprocess.run([Path(self.root) / "script" / "build-bpf"], check=True)
