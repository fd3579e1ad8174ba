"""The pulse process with its lease in a plain file, so that no dataplane is needed: started by tests."""

import mmap
import os
import sys
from pathlib import Path

from shoal.pulse.__main__ import main
from shoal.system.lease import PIN_NAME, Lease

LEASE_BYTES = 2 * mmap.PAGESIZE


def open_lease_file(pins: Path) -> Lease | None:
    """The lease in the file where the pin would be."""
    try:
        descriptor = os.open(pins / PIN_NAME, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        return Lease(mmap.mmap(descriptor, LEASE_BYTES, mmap.MAP_SHARED))
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], open_lease=open_lease_file))
