"""The heartbeat key and the file that keeps it."""

import os
import stat
from pathlib import Path

from shoal.errors import ConfigError

SHORTEST = 16
LARGEST_FILE = 4096


def check(key: bytes) -> bytes:
    """The key without blanks around it. Raises ConfigError when it is too short."""
    key = key.strip()
    if len(key) < SHORTEST:
        raise ConfigError(
            problem=f"the key has {len(key)} characters, fewer than {SHORTEST}",
            fix="Make one with: head -c 32 /dev/urandom | base64",
        )
    return key


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(
            problem=f"the key file {path} is not a regular file", fix="Name a file that holds the key."
        )
    if found.st_mode & 0o077:
        raise ConfigError(
            problem=f"the key file {path} is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
            fix=f"Close it with: chmod 600 {path}",
        )
    if found.st_size > LARGEST_FILE:
        raise ConfigError(
            problem=f"the key file {path} is larger than {LARGEST_FILE} bytes",
            fix="Name a file that holds nothing but the key.",
        )


def read(name: str) -> bytes:
    """The key in a file. Raises ConfigError when the file cannot be read or is open to others."""
    path = Path(name)
    if not path.is_absolute() or "\0" in name:
        raise ConfigError(
            problem=f"{name!a} is not an absolute path",
            fix="Begin it with a slash: every part of Shoal reads the file from a folder of its own.",
        )
    try:
        _check_file(path, path.stat())
        return check(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            problem=f"the key file {path} cannot be read: {error.strerror}",
            fix="Create it, or run as a user who may read it.",
        ) from error
