"""Making a process real-time: scheduled first, never swapped out, never collecting garbage."""

import ctypes
import gc
import os

_MCL_CURRENT, _MCL_FUTURE = 1, 2  # include/uapi/asm-generic/mman.h


def make_realtime(priority: int) -> tuple[str, ...]:
    """Run under SCHED_FIFO with this priority (0: leave the scheduler alone) and lock memory.

    What the kernel refused is returned as sentences: the process works all the same, only less punctually.
    Children do not inherit the priority.
    """
    refused = []
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        except OSError as error:
            refused.append(f"SCHED_FIFO {priority}: {error.strerror}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        refused.append(f"mlockall: {os.strerror(ctypes.get_errno())}")
    return tuple(refused)


def freeze_garbage() -> None:
    """Collect once, then never again on its own: a collection at the wrong moment is a late heartbeat."""
    gc.collect()
    gc.freeze()
    gc.disable()
