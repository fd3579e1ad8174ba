"""Whether this machine can run the eBPF dataplane: the kernel's own answer, by loading the programs once.

``python -m shoal.dataplane.ebpf.preflight`` prints the answer; script/bootstrap asks it.
"""

import sys

from shoal.errors import ShoalError


def main() -> int:
    """Load every object without pinning anything. 0 when the kernel takes them all."""
    try:
        from shoal.dataplane.ebpf.objects import try_load

        try_load()
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
