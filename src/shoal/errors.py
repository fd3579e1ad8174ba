"""The one exception tree.

    ShoalError
    ├── InternalError   our bug
    ├── PeerError       another router, a real server or a client of the API did something wrong
    ├── ConfigError     the operator's file or command is wrong
    │   └── ConfigErrors   all the errors of one file together
    ├── ForbiddenError  the operator lacks a right
    ├── NotFoundError   the operator named something that is not there
    ├── UnavailableError  a part of Shoal that should answer does not
    └── KernelError     the kernel refused; its errno is kept

Each class sets ``exit_code`` (sysexits.h where one fits) and ``http_status``. Each instance says what is wrong
(``problem``), where (``where``) and how to put it right (``fix``).
"""

import os
from collections.abc import Sequence


class ShoalError(Exception):
    """Base of everything Shoal raises on purpose."""

    exit_code = 70
    http_status = 500

    def __init__(self, *, problem: str, where: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{text}\n  fix: {self.fix}" if self.fix else text


class InternalError(ShoalError):
    """A bug of Shoal: an invariant does not hold."""

    exit_code = 70
    http_status = 500


class PeerError(ShoalError):
    """What came from another machine breaks the protocol."""

    exit_code = 76
    http_status = 502


class ConfigError(ShoalError):
    """The configuration or a command line is wrong; nothing was changed."""

    exit_code = 78
    http_status = 422


class ConfigErrors(ConfigError):
    """All the errors of one file, so that the operator mends them in one go."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(problem="\n".join(str(error) for error in errors))
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return self.problem


class ForbiddenError(ShoalError):
    """The operator lacks a right (not root, a capability is missing)."""

    exit_code = 77
    http_status = 403


class NotFoundError(ShoalError):
    """The operator named something that does not exist."""

    exit_code = 69
    http_status = 404


class UnavailableError(ShoalError):
    """A daemon, a peer or a feature that is needed does not answer or is not there."""

    exit_code = 69
    http_status = 503


class KernelError(ShoalError):
    """The kernel refused a request. ``errno`` is the kernel's."""

    exit_code = 71
    http_status = 500

    def __init__(self, *, errno: int, problem: str, where: str = "", fix: str = "") -> None:
        super().__init__(problem=f"{problem}: {os.strerror(errno)}", where=where, fix=fix)
        self.errno = errno
