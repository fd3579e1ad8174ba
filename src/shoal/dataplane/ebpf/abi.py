"""``bpf/abi.h`` as Python sees it: the same text, read by cffi, so no layout is written twice."""

import re
from importlib import resources
from typing import Any

import cffi

_KERNEL_TYPES = """
typedef uint8_t __u8; typedef uint16_t __u16; typedef uint32_t __u32; typedef unsigned long long __u64;
typedef uint16_t __be16; typedef uint32_t __be32; typedef int32_t __s32;
"""


def built(name: str) -> Any:
    """A file made by script/build-bpf and packed into the wheel (a ``Traversable``)."""
    return resources.files("shoal.dataplane.ebpf").joinpath("built", name)


def _header() -> str:
    """The contract header without its preprocessor lines and comments."""
    text = built("abi.h").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


ffi: Any = cffi.FFI()
ffi.cdef(_KERNEL_TYPES)
ffi.cdef(_header())


def _enumerators(name: str) -> dict[str, int]:
    return dict(ffi.typeof(f"enum {name}").relements)


LIMITS = _enumerators("shoal_limit")
STATES = _enumerators("shoal_state")
SCHEDULERS = _enumerators("shoal_scheduler")
SCHEDULER_FLAGS = _enumerators("shoal_scheduler_flag")
CONFIG_FLAGS = _enumerators("shoal_config_flag")
PERSISTENCE_FLAGS = _enumerators("shoal_persistence_flag")
PROGRAMS = _enumerators("shoal_program")
SERVICE_OPTIONS = _enumerators("shoal_service_option")
SETTINGS_FLAGS = _enumerators("shoal_settings_flag")
DROPS = _enumerators("shoal_drop")
DESTINATION_FLAGS = _enumerators("shoal_destination_flag")
ENCAPS = _enumerators("shoal_encap")
METHODS = _enumerators("shoal_method")
INTERFACE_FLAGS = _enumerators("shoal_interface_flag")
OPENINGS = _enumerators("shoal_opening")
ABI_VERSION = LIMITS["SHOAL_ABI_VERSION"]
TICK_SECONDS = (1 << LIMITS["SHOAL_TICK_SHIFT"]) / 1e9
