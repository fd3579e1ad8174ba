"""Attaching programs to interfaces. Attachments are pinned, so they outlive ``lvsd`` and are taken over, not redone.

TCX links where the kernel has them (6.6), else a clsact filter; XDP always by a link and always native: the generic
mode drops the large frames of local TCP senders.
"""

import errno
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal.dataplane.base import Attachment
from shoal.dataplane.ebpf.abi import ffi
from shoal.dataplane.ebpf.libbpf import (
    BPF_TC_INGRESS,
    BPF_TCX_INGRESS,
    BPF_XDP,
    XDP_FLAGS_DRV_MODE,
    check,
    get_pinned,
    lib,
    options,
)
from shoal.dataplane.ebpf.tables import close_descriptor
from shoal.errors import ShoalError
from shoal.model import Hook

LINKS = "links"
FILTER_HANDLE = 0x5348  # "SH": which clsact filter is ours
FILTER_PRIORITY = 0x5348
LOCAL_KINDS = frozenset({"veth", "tun", "bridge", "bond", "vlan", "macvlan", "dummy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What attaching needs to know of an interface. ``kind`` is empty for a physical one."""

    name: str
    index: int
    kind: str
    mac: bytes
    peer_elsewhere: bool

    @property
    def is_virtual(self) -> bool:
        """Whether its frames come from a local stack rather than from a wire."""
        return self.kind in LOCAL_KINDS


def _index_of_link(descriptor: int) -> int:
    """The interface of a link (struct bpf_link_info, include/uapi/linux/bpf.h); 0 when that is gone."""
    information = ffi.new("__u32[]", 32)
    size = ffi.new("__u32 *", 128)
    check(lib.bpf_obj_get_info_by_fd(descriptor, information, size), problem="link information refused")
    return int(information[4])  # type, id, prog_id, padding, then the xdp and tcx members: ifindex


def _adopt(pin: Path, program: int, index: int) -> bool:
    """Give a predecessor's link our program. False when there is none for this interface."""
    descriptor = get_pinned(pin)
    if descriptor is None:
        return False
    try:
        if _index_of_link(descriptor) == index:
            check(
                lib.bpf_link_update(descriptor, program, ffi.NULL),
                problem="cannot replace a program",
                where=pin.name,
            )
            return True
    finally:
        close_descriptor(descriptor)
    pin.unlink()
    return False


def _link(pin: Path, program: int, index: int, *, kind: int, flags: int) -> int:
    """Attach by a new pinned link; the (negative) errno when the kernel refuses."""
    opts = options("bpf_link_create_opts", flags=flags)
    descriptor: int = lib.bpf_link_create(program, index, kind, opts)
    if descriptor < 0:
        return descriptor
    try:
        check(lib.bpf_obj_pin(descriptor, os.fsencode(pin)), problem="cannot pin a link", where=str(pin))
    finally:
        close_descriptor(descriptor)
    return 0


def _clsact(program: int, index: int, *, handle: int) -> None:
    """Attach by a clsact filter of our own handle; an existing one of that handle is replaced in one step."""
    hook = options("bpf_tc_hook", ifindex=index, attach_point=BPF_TC_INGRESS)
    created = lib.bpf_tc_hook_create(hook)
    if created != -errno.EEXIST:
        check(created, problem="cannot create a clsact qdisc")
    opts = options(
        "bpf_tc_opts", prog_fd=program, handle=handle, priority=FILTER_PRIORITY, flags=1
    )  # BPF_TC_F_REPLACE
    check(lib.bpf_tc_attach(hook, opts), problem="cannot attach a TC program")


def _detach_clsact(index: int, *, handle: int) -> None:
    hook = options("bpf_tc_hook", ifindex=index, attach_point=BPF_TC_INGRESS)
    lib.bpf_tc_detach(hook, options("bpf_tc_opts", handle=handle, priority=FILTER_PRIORITY))


class Links:
    """The attachments of one dataplane. ``program`` gives the descriptor of a program by its name.

    ``filter_handle`` tells this dataplane's clsact filters from those of another on the same interface.
    """

    def __init__(
        self,
        pins: Path,
        program: Callable[[str], int],
        *,
        use_tcx: bool = True,
        filter_handle: int = FILTER_HANDLE,
    ) -> None:
        self._folder = pins / LINKS
        self._folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._use_tcx = use_tcx
        self._filter_handle = filter_handle
        self.attachments: list[Attachment] = []
        self.xdp_targets: set[int] = set()

    def attach(self, interface: Interface, hook: Hook, *, sees_marks: bool = False) -> None:
        """Attach to one interface: always TC, and XDP in front of it where the hook asks for it and it works.

        ``sees_marks``: firewall marks must be on the packets already. Then it is TC alone, as a clsact filter, since
        TCX programs run before every clsact filter (sch_handle_ingress(), net/core/dev.c).
        """
        if sees_marks:
            self._attach_behind_filters(interface)
            return
        how = self._attach_tc(interface)
        wants_xdp = hook is Hook.XDP or (hook is Hook.AUTO and not interface.is_virtual)
        reason = "as configured" if hook is not Hook.AUTO else f"auto: {interface.kind or 'physical'}"
        if not wants_xdp:
            self._pin("xdp", interface.name).unlink(missing_ok=True)
        elif refusal := self._attach_xdp(interface):
            reason = f"XDP refused ({refusal})"
        else:
            self.xdp_targets.add(interface.index)
            how = f"xdp+{how}"
        self.attachments.append(Attachment(interface=interface.name, hook=how, reason=reason))

    def _attach_behind_filters(self, interface: Interface) -> None:
        _clsact(self._program("shoal_tc"), interface.index, handle=self._filter_handle)
        self._pin("clsact", interface.name).mkdir(exist_ok=True)
        for kind in ("tcx", "xdp"):
            self._pin(kind, interface.name).unlink(missing_ok=True)
        reason = "firewall marks are listened to, and only filters before this one can set them"
        self.attachments.append(Attachment(interface=interface.name, hook="clsact", reason=reason))

    def _leave_clsact(self, interface: Interface) -> None:
        """After TCX has taken over: nothing may be balanced twice."""
        pin = self._pin("clsact", interface.name)
        if pin.exists():
            _detach_clsact(interface.index, handle=self._filter_handle)
            pin.rmdir()

    def _attach_tc(self, interface: Interface) -> str:
        pin = self._pin("tcx", interface.name)
        if self._use_tcx:
            if _adopt(pin, self._program("shoal_tc"), interface.index):
                self._leave_clsact(interface)
                return "tcx"
            result = _link(pin, self._program("shoal_tc"), interface.index, kind=BPF_TCX_INGRESS, flags=0)
            if result != -errno.EINVAL:
                check(result, problem="cannot attach a TC program", where=interface.name)
                self._leave_clsact(interface)
                return "tcx"
        _clsact(self._program("shoal_tc"), interface.index, handle=self._filter_handle)
        self._pin("clsact", interface.name).mkdir(exist_ok=True)
        return "clsact"

    def _attach_xdp(self, interface: Interface) -> str:
        """The reason why it did not work; empty when it did."""
        name = "shoal_xdp_local" if interface.is_virtual else "shoal_xdp"
        pin = self._pin("xdp", interface.name)
        try:
            program = self._program(name)
            if not _adopt(pin, program, interface.index):
                result = _link(pin, program, interface.index, kind=BPF_XDP, flags=XDP_FLAGS_DRV_MODE)
                check(result, problem="native XDP refused", where=interface.name)
        except ShoalError as error:
            return error.problem
        return ""

    def _pin(self, kind: str, interface: str) -> Path:
        """Where an attachment is pinned. A bpffs refuses dots; a colon cannot be part of an interface's name."""
        return self._folder / f"{kind}-{interface.replace('.', ':')}"

    def remove(self, interfaces: dict[str, int]) -> None:
        """Detach everything, from the interfaces (name to index) that still exist."""
        if not self._folder.exists():
            return
        for pin in sorted(self._folder.iterdir()):
            self._detach(pin, interfaces)
        self._folder.rmdir()

    def detach_all_but(self, kept: Collection[str], *, present: Mapping[str, int]) -> None:
        """Detach from every interface but ``kept``; ``present`` are the interfaces that exist, name to index."""
        for pin in sorted(self._folder.iterdir()):
            if interface_of(pin) not in kept:
                self._detach(pin, present)

    def _detach(self, pin: Path, interfaces: Mapping[str, int]) -> None:
        if not pin.name.startswith("clsact-"):
            pin.unlink()
            return
        if (index := interfaces.get(interface_of(pin))) is not None:
            _detach_clsact(index, handle=self._filter_handle)
        pin.rmdir()


def interface_of(pin: Path) -> str:
    """Whose attachment a pin is."""
    return pin.name.partition("-")[2].replace(":", ".")
