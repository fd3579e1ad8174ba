"""Schedulers: pure references, one file each, by name."""

from shoal.schedulers import dh, fo, lblc, lblcr, lc, mh, nq, ovf, rr, sed, sh, twos, wlc, wrr
from shoal.schedulers.base import ANY_REQUEST, MAX_RING, Load, Request, Scheduler, names, scheduler_class

__all__ = [
    "ANY_REQUEST",
    "MAX_RING",
    "Load",
    "Request",
    "Scheduler",
    "dh",
    "fo",
    "lblc",
    "lblcr",
    "lc",
    "mh",
    "names",
    "nq",
    "ovf",
    "rr",
    "scheduler_class",
    "sed",
    "sh",
    "twos",
    "wlc",
    "wrr",
]
