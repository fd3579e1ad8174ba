"""The dataplane's clock: CLOCK_MONOTONIC in ticks of 16.8 ms, of which 32 bits last 834 days (bpf/ticks.h)."""

import time

from shoal.dataplane.ebpf.abi import LIMITS, TICK_SECONDS

_MASK = 0xFFFFFFFF


def now_in_ticks() -> int:
    """The tick that it is."""
    return time.monotonic_ns() >> LIMITS["SHOAL_TICK_SHIFT"] & _MASK


def tick_after(now: int, seconds: float) -> int:
    """The tick that is so many seconds after ``now``; never 0, which stands for none."""
    return (now + round(seconds / TICK_SECONDS)) & _MASK or 1


def seconds_until(tick: int, now: int) -> float:
    """From the tick ``now`` on; 0 when it has passed. Good for half of what 32 bits last."""
    left = (tick - now) & _MASK
    return left * TICK_SECONDS if left <= _MASK // 2 else 0.0


def seconds_since(tick: int, now: int) -> float:
    """Until the tick ``now``."""
    return ((now - tick) & _MASK) * TICK_SECONDS
