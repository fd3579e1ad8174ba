"""The clocks. Only the outer edge reads them; pure parts are told the time."""

import time


def boottime() -> float:
    """CLOCK_BOOTTIME, seconds: never set, and it runs on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e9


def unix_time() -> float:
    """Seconds since 1970, for people; it may jump, so nothing is decided by it."""
    return time.time()
