"""What a chain of BPF functions takes of the stack, as Linux 6.1 reckons it: each frame rounded up to 32 bytes.

check_max_stack_depth(), kernel/bpf/verifier.c; later kernels round less. Read from the disassembly of an object.
"""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 512
"""Bytes of a whole chain (MAX_BPF_STACK)."""

ROUNDED = 32
OBJDUMP = os.environ.get("LLVM_OBJDUMP", "llvm-objdump-19")
_FUNCTION = re.compile(r"^[0-9a-f]+ <([\w.]+)>:")
_ACCESS = re.compile(r"\br10 - (0x[0-9a-f]+|\d+)")
_COPY = re.compile(r":\s+r(\d) = r10$")
_ADDED = re.compile(r":\s+r(\d) \+= -(0x[0-9a-f]+|\d+)$")
_CALL = re.compile(r"R_BPF_64_(?:32|64)\s+(\w+)$")


@dataclass
class Function:
    """How deep its own frame is, bytes, and what it calls (and other symbols that it names)."""

    depth: int = 0
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Chain:
    """Functions that call each other, and bytes of stack that they take together."""

    functions: tuple[str, ...]
    depth: int


def deepest_chains(path: Path) -> dict[str, Chain]:
    """By program of an object: the chain that takes most."""
    functions = _read(path)
    return {name: _deepest(functions, name) for name in functions if name.startswith("shoal_")}


def _read(path: Path) -> dict[str, Function]:
    command = [OBJDUMP, "-dr", "--no-show-raw-insn", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Function] = {}
    current, copies = Function(), set[str]()
    for line in text.splitlines():
        if match := _FUNCTION.match(line):
            current, copies = found.setdefault(match[1], Function()), set()
        elif match := _ACCESS.search(line):
            current.depth = max(current.depth, int(match[1], 0))
        elif match := _COPY.search(line):
            copies.add(match[1])
        elif (match := _ADDED.search(line)) and match[1] in copies:
            current.depth = max(current.depth, int(match[2], 0))
            copies.discard(match[1])
        elif match := _CALL.search(line):
            current.names.add(match[1])
    return found


def _deepest(functions: dict[str, Function], name: str, above: tuple[str, ...] = ()) -> Chain:
    own = -(-max(functions[name].depth, 1) // ROUNDED) * ROUNDED
    below = [
        _deepest(functions, each, (*above, name))
        for each in functions[name].names
        if each in functions and each not in (*above, name)
    ]
    longest = max(below, key=lambda chain: chain.depth, default=Chain((), 0))
    return Chain((name, *longest.functions), own + longest.depth)
