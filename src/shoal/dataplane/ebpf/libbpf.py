"""libbpf through cffi in ABI mode: no compiler at installation, and any libbpf from 1.1 on will do.

Only what the dataplane uses is declared. Numbers that Debian 12's headers do not have yet are from
include/uapi/linux/bpf.h.
"""

import contextlib
import ctypes.util
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal.dataplane.ebpf.abi import ffi
from shoal.errors import ForbiddenError, KernelError, UnavailableError

ffi.cdef("""
struct bpf_object; struct bpf_program; struct bpf_map; struct btf;
typedef int (*libbpf_print_fn_t)(int level, const char *format, void *arguments);
libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t function);
const char *libbpf_version_string(void);
int libbpf_num_possible_cpus(void);

struct bpf_object_open_opts { size_t sz; const char *object_name; _Bool relaxed_maps; const char *pin_root_path;
    __u32 unused; const char *kconfig; const char *btf_custom_path; char *kernel_log_buf; size_t kernel_log_size;
    __u32 kernel_log_level; };
struct bpf_object *bpf_object__open_file(const char *path, const struct bpf_object_open_opts *opts);
int bpf_object__load(struct bpf_object *object);
void bpf_object__close(struct bpf_object *object);
struct btf *bpf_object__btf(const struct bpf_object *object);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *object, const char *name);
int bpf_program__fd(const struct bpf_program *program);
struct bpf_map *bpf_object__next_map(const struct bpf_object *object, const struct bpf_map *map);
const char *bpf_map__name(const struct bpf_map *map);
int bpf_map__fd(const struct bpf_map *map);
__u32 bpf_map__max_entries(const struct bpf_map *map);
__u32 bpf_map__value_size(const struct bpf_map *map);
int bpf_map__set_max_entries(struct bpf_map *map, __u32 entries);
int bpf_map__set_pin_path(struct bpf_map *map, const char *path);

struct bpf_tc_hook { size_t sz; int ifindex; int attach_point; __u32 parent; };
struct bpf_tc_opts { size_t sz; int prog_fd; __u32 flags; __u32 prog_id; __u32 handle; __u32 priority; };
int bpf_tc_hook_create(struct bpf_tc_hook *hook);
int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts);
int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts);

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_delete_elem(int fd, const void *key);
struct bpf_map_batch_opts { size_t sz; __u64 elem_flags; __u64 flags; };
int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, __u32 *count,
    const struct bpf_map_batch_opts *opts);
int bpf_map_update_batch(int fd, const void *keys, const void *values, __u32 *count,
    const struct bpf_map_batch_opts *opts);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_obj_pin(int fd, const char *path);
int bpf_obj_get(const char *path);
struct bpf_link_create_opts { size_t sz; __u32 flags; __u32 iter_info_padding; void *iter_info; __u32 iter_info_len;
    __u32 target_btf_id; __u64 tail[8]; };
int bpf_link_create(int prog_fd, int target_fd, int attach_type, const struct bpf_link_create_opts *opts);
int bpf_link_update(int link_fd, int new_prog_fd, const void *opts);
int bpf_link_detach(int link_fd);
struct bpf_test_run_opts { size_t sz; const void *data_in; void *data_out; __u32 data_size_in; __u32 data_size_out;
    const void *ctx_in; void *ctx_out; __u32 ctx_size_in; __u32 ctx_size_out; __u32 retval; int repeat;
    __u32 duration; __u32 flags; __u32 cpu; __u32 batch_size; };
int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts);
int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *size);

struct btf_type { __u32 name_off; __u32 info; __u32 size_or_type; };
struct btf_member { __u32 name_off; __u32 type; __u32 offset; };
struct btf_enum { __u32 name_off; __s32 val; };
__s32 btf__find_by_name_kind(const struct btf *btf, const char *name, __u32 kind);
const struct btf_type *btf__type_by_id(const struct btf *btf, __u32 id);
const char *btf__name_by_offset(const struct btf *btf, __u32 offset);
""")

BPF_XDP = 37
BPF_TCX_INGRESS = 46
XDP_FLAGS_DRV_MODE = 4
BPF_TC_INGRESS = 1
LOG_SIZE = 1 << 24  # the verifier gives up when its log does not fit


def _open_library() -> Any:
    with contextlib.suppress(OSError):
        return ffi.dlopen("libbpf.so.1")
    if name := ctypes.util.find_library("bpf"):  # asks ldconfig, which takes longer than all else here
        with contextlib.suppress(OSError):
            return ffi.dlopen(name)
    raise UnavailableError(
        problem="libbpf is not installed", where="libbpf.so.1", fix="apt-get install libbpf1"
    )


lib: Any = _open_library()


@ffi.callback("int(int, const char *, void *)")  # type: ignore[untyped-decorator]
def _silent(_level: int, _format: Any, _arguments: Any) -> int:
    """libbpf's own messages go nowhere: errors carry the kernel's log instead."""
    return 0


lib.libbpf_set_print(_silent)


def kernel_error(code: int, *, problem: str, where: str = "", fix: str = "") -> KernelError | ForbiddenError:
    """The exception for a (negative) errno of libbpf."""
    number = abs(code)
    if number in (errno.EPERM, errno.EACCES):
        return ForbiddenError(
            problem=f"{problem}: {os.strerror(number)}",
            where=where,
            fix=fix or "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
        )
    return KernelError(errno=number, problem=problem, where=where, fix=fix)


def check(result: int, *, problem: str, where: str = "", fix: str = "") -> int:
    """``result``, unless it is negative: then the kernel's error."""
    if result < 0:
        raise kernel_error(result, problem=problem, where=where, fix=fix)
    return result


def options(kind: str, **fields: Any) -> Any:
    """One of libbpf's ``opts`` structs; its ``sz`` tells libbpf which fields we know."""
    struct = ffi.new(f"struct {kind} *")
    struct.sz = ffi.sizeof(f"struct {kind}")
    for name, value in fields.items():
        setattr(struct, name, value)
    return struct


def get_pinned(path: Path) -> int | None:
    """A descriptor of what is pinned at ``path``; None when nothing is."""
    result: int = lib.bpf_obj_get(os.fsencode(path))
    if result in (-errno.ENOENT, -errno.ENOTDIR):
        return None
    return check(result, problem="cannot open a pinned BPF object", where=str(path))


class Object:
    """An object file: opened, then loaded. Descriptors live until ``close``; what is pinned lives on."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._log = ffi.new("char[]", LOG_SIZE)
        opts = options("bpf_object_open_opts", kernel_log_buf=self._log, kernel_log_size=LOG_SIZE)
        self._object = lib.bpf_object__open_file(os.fsencode(path), opts)
        if self._object == ffi.NULL:
            raise kernel_error(ffi.errno, problem="cannot open a BPF object file", where=path)

    def maps(self) -> Iterator[tuple[str, Any]]:
        """Name and handle of every map of ours (not those that libbpf makes for constants)."""
        handle = lib.bpf_object__next_map(self._object, ffi.NULL)
        while handle != ffi.NULL:
            name = ffi.string(lib.bpf_map__name(handle)).decode()
            if not name.startswith(".") and "." not in name:
                yield name, handle
            handle = lib.bpf_object__next_map(self._object, handle)

    def load(self) -> None:
        """Give the programs to the verifier and create (or take over) the maps."""
        result = lib.bpf_object__load(self._object)
        if result < 0:
            log = ffi.string(self._log).decode(errors="replace").strip()
            tail = "\n".join(log.splitlines()[-12:])
            problem = f"the kernel refuses the BPF programs\n{tail}\n"
            if result == -errno.EPERM:
                raise kernel_error(result, problem=problem, where=self.path)
            # EACCES is the verifier's word for an access that it cannot prove, not for a missing right
            fix = "report this, with the version of the kernel"
            raise KernelError(errno=-result, problem=problem, where=self.path, fix=fix)

    def program(self, name: str) -> int:
        """The descriptor of a program of this object."""
        program = lib.bpf_object__find_program_by_name(self._object, name.encode())
        if program == ffi.NULL:
            raise kernel_error(errno.ENOENT, problem=f"no program {name}", where=self.path)
        return int(lib.bpf_program__fd(program))

    @property
    def btf(self) -> Any:
        """The object's type information."""
        return lib.bpf_object__btf(self._object)

    def close(self) -> None:
        """Close every descriptor of this object."""
        lib.bpf_object__close(self._object)


def run_program(program: int, argument: Any) -> None:
    """Run a SEC("syscall") program with a struct that it reads and writes."""
    opts = options("bpf_test_run_opts", ctx_in=argument, ctx_size_in=ffi.sizeof(argument[0]))
    check(lib.bpf_prog_test_run_opts(program, opts), problem="cannot run a control program")


def run_packet(program: int, frame: bytes, *, context: Any = None) -> tuple[int, bytes]:
    """BPF_PROG_TEST_RUN: the program's verdict on a frame, and the frame as it left it."""
    room = ffi.new("char[]", len(frame) + 512)
    opts = options(
        "bpf_test_run_opts",
        data_in=ffi.from_buffer(frame),
        data_size_in=len(frame),
        data_out=room,
        data_size_out=len(frame) + 512,
        repeat=1,
    )
    if context is not None:
        opts.ctx_in = context
        opts.ctx_size_in = ffi.sizeof(context[0])
    check(lib.bpf_prog_test_run_opts(program, opts), problem="test run refused")
    return int(opts.retval), bytes(ffi.buffer(room, opts.data_size_out))
