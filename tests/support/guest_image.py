"""What a guest boots from: a Debian kernel package's kernel, unpacked, and an initramfs with the few modules it needs.

The kernel is given to qemu unpacked because its own decompression takes seconds under emulation.
"""

import lzma
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_MODE_FOLDER, _MODE_PROGRAM, _MODE_FILE = 0o040755, 0o100755, 0o100644
_XZ, _ELF = b"\xfd7zXZ\0", b"\x7fELF"


@dataclass(frozen=True, slots=True)
class KernelPackage:
    """A Debian kernel package, unpacked into ``folder``. Raises FileNotFoundError when there is none."""

    folder: Path

    @property
    def version(self) -> str:
        """Such as 6.1.0-56-amd64: what ``uname -r`` will say."""
        kernels = sorted((self.folder / "boot").glob("vmlinuz-*"))
        if not kernels:
            raise FileNotFoundError(
                f"no kernel in {self.folder}/boot. Fix: script/bootstrap --guest fetches one"
            )
        return kernels[-1].name.removeprefix("vmlinuz-")

    @property
    def modules(self) -> Path:
        """Its module folder."""
        return self.folder / "lib/modules" / self.version

    def vmlinux(self) -> bytes:
        """The kernel as an ELF file, which qemu boots by its PVH entry."""
        return unpacked((self.folder / "boot" / f"vmlinuz-{self.version}").read_bytes())

    def in_load_order(self, names: Iterable[str]) -> list[Path]:
        """Files of modules and of all that they depend on, each after what it needs (modules.dep of depmod)."""
        needs = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            module, _, others = line.partition(":")
            needs[module] = others.split()
        files = {Path(module).name.partition(".")[0].replace("-", "_"): module for module in needs}
        ordered: dict[str, None] = {}
        for name in names:
            if name not in files:
                raise FileNotFoundError(f"module {name} is not in {self.modules}")
            for module in (*reversed(needs[files[name]]), files[name]):
                ordered[module] = None
        return [self.modules / module for module in ordered]


def unpacked(image: bytes) -> bytes:
    """The ELF file within a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length).

    Raises ValueError when there is none, or when it is not packed by xz as Debian's kernels are.
    """
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("not a bzImage: no HdrS at 0x202")
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = image[start : start + length]
    if not payload.startswith(_XZ):
        raise ValueError(f"the kernel is packed by something other than xz: {payload[:6].hex()}")
    elf = lzma.LZMADecompressor().decompress(
        payload
    )  # behind the stream stands its size, which is none of xz's
    if not elf.startswith(_ELF):
        raise ValueError("the packed kernel is no ELF file")
    return elf


def initramfs(*, init: str, programs: Iterable[Path], modules: Iterable[Path]) -> bytes:
    """A cpio archive in the newc format: ``/init``, ``/bin/…``, and ``/modules/000-…`` in the order given."""
    entries: list[tuple[str, int, bytes]] = [
        (folder, _MODE_FOLDER, b"")
        for folder in ("bin", "dev", "proc", "sys", "modules", "host", "scratch", "root")
    ]
    entries.append(("init", _MODE_PROGRAM, init.encode()))
    entries += [(f"bin/{program.name}", _MODE_PROGRAM, program.read_bytes()) for program in programs]
    entries += [
        (f"modules/{number:03}-{module.name}", _MODE_FILE, module.read_bytes())
        for number, module in enumerate(modules)
    ]
    return b"".join(_newc(entries))


def _newc(entries: list[tuple[str, int, bytes]]) -> Iterator[bytes]:
    """Documentation/driver-api/early-userspace/buffer-format.rst."""
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        yield header + bytes(-len(header) % 4)
        yield content + bytes(-len(content) % 4)
