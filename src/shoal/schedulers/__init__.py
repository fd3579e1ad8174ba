"""Schedulers: pure references, one file each, by name."""

from shoal.schedulers import lc, rr, wlc, wrr
from shoal.schedulers.base import MAX_RING, Load, Scheduler, names, scheduler_class

__all__ = ["MAX_RING", "Load", "Scheduler", "lc", "names", "rr", "scheduler_class", "wlc", "wrr"]
