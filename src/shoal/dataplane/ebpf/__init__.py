"""The eBPF dataplane: programs in ``bpf/``, loaded through libbpf and pinned, so they outlive ``lvsd``."""

from shoal.dataplane.ebpf.backend import EbpfDataplane, open_dataplane

__all__ = ["EbpfDataplane", "open_dataplane"]
