"""Read a configuration file: all of it, or every error in it."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shoal.config import key, notation, rules, shape
from shoal.config.build import build
from shoal.config.findings import Findings
from shoal.config.positions import positions
from shoal.config.schema import Document
from shoal.errors import ConfigError, ConfigErrors
from shoal.model import Cluster

Read = TypeVar("Read")

_AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path, *, reads_key: bool = True) -> Cluster:
    """The cluster that a file describes. Raises ConfigErrors with everything that is wrong with it.

    ``reads_key`` False leaves the cluster's key empty: a real server has no business with the routers' secret.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        fix = "Name a file." if path.is_dir() else "Check the file's name and its permissions."
        raise _only(str(path), problem=f"cannot read the file: {error.strerror}", fix=fix) from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise _only(f"{path}:{line}", problem=problem, fix="Save the file as UTF-8.") from error
    return parse(text, source=str(path), reads_key=reads_key)


def parse(text: str, *, source: str, reads_key: bool = True) -> Cluster:
    """The cluster that a text describes; ``source`` is its name in errors. Reads the key file that it names.

    Raises ConfigErrors with everything that is wrong.
    """
    tables = _read(tomllib.loads, text, source=source)
    if not tables:
        raise _only(
            source, problem="the file is empty", fix="Write a configuration; the README has a short one."
        )
    findings = Findings()
    try:
        document = shape.read(tables, findings)
        rules.check(document, findings)
        secret = _key(document, findings) if reads_key else b""
        if findings:
            lines = _read(positions, text, source=source)
            raise ConfigErrors(findings.errors(source=source, lines=lines))
        return build(document, key=secret)
    finally:
        notation.address.cache_clear()


def _only(where: str, *, problem: str, fix: str) -> ConfigErrors:
    return ConfigErrors([ConfigError(where=where, problem=problem, fix=fix)])


def _read(reader: Callable[[str], Read], text: str, *, source: str) -> Read:
    try:
        return reader(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(str(error), text, source=source) from error
    except RecursionError as error:
        raise _only(source, problem="lists or tables are nested too deep", fix="Use fewer levels.") from error
    except ValueError as error:  # int() refuses numbers of more than 4300 digits
        raise _only(
            source, problem=f"a value cannot be read: {error}", fix="Use a shorter number."
        ) from error


def _syntax(message: str, text: str, *, source: str) -> ConfigErrors:
    found = _AT.search(message)
    problem = _AT.sub("", message)
    line = text.count("\n") + 1
    if found and found[1]:
        line = int(found[1])
        problem = f"{problem} (column {found[2]})"
    fix = "Correct the TOML on this line: KEY = VALUE, with text in quotes."
    return _only(f"{source}:{line}", problem=problem, fix=fix)


def _key(document: Document, findings: Findings) -> bytes:
    table = document.cluster
    if table.key_file:
        return findings.read(("cluster", "key_file"), key.read, of=table.key_file) or b""
    if table.key:
        return findings.read(("cluster", "key"), key.check, of=table.key.encode()) or b""
    return b""
