"""An external program: exit status 0 passes. What it prints first is the reason.

It runs in a session of its own, with nothing on its standard input, and its whole process group is killed
when it has ended, or has not ended in time.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable

from shoal.nanny.machine import Outcome
from shoal.nanny.probes.base import Attempt, failed, passed, refused
from shoal.nanny.questions import Question

LONGEST_REASON = 200
"""Characters kept of the first line a program prints."""

_PIECE = 4096

# Killed, but not yet reaped: a killed process takes a moment to die, and the engine does not wait for it.
_dying: list[int] = []


class ProgramAttempt(Attempt):
    """A running program. Its end and its output are watched through one epoll descriptor of its own."""

    __slots__ = ("_arguments", "_epoll", "_line", "_output", "_pid", "_process")

    costly = True

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._arguments = arguments
        self._line = b""
        self._pid = -1
        self.wants = select.EPOLLIN

    def open(self) -> Outcome | None:
        """Start the program."""
        _reap()
        output = -1
        try:
            self._output, output = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            os.set_blocking(output, True)
            self._pid = _spawn(self._arguments, output=output)
        except OSError as error:
            if output >= 0:
                os.close(self._output)
            return refused(error.errno, doing=f"cannot run {self._arguments[0]}")
        finally:
            if output >= 0:
                os.close(output)
        return self._watch()

    def fileno(self) -> int:
        """The epoll descriptor."""
        return self._epoll.fileno()

    def ready(self) -> Outcome | None:
        """Take what it printed, so that it never waits for us; judge its exit."""
        ready = {descriptor for descriptor, _ in self._epoll.poll(0)}
        if self._output in ready and not self._drain() and self._process not in ready:
            self._epoll.unregister(self._output)
        if self._process not in ready:
            return None
        self._drain()
        return self._judge()

    def stalled(self) -> str:
        """It is still running."""
        return "not finished"

    def close(self) -> None:
        """Kill the whole process group, and let go."""
        _kill_group(self._pid)
        self._epoll.close()
        os.close(self._process)
        os.close(self._output)

    def _watch(self) -> Outcome | None:
        try:
            self._process = os.pidfd_open(self._pid)
        except OSError as error:
            _kill_group(self._pid)
            os.close(self._output)
            return refused(error.errno, doing=f"cannot watch {self._arguments[0]}")
        try:
            self._epoll = select.epoll()
        except OSError as error:
            _kill_group(self._pid)
            os.close(self._process)
            os.close(self._output)
            return refused(error.errno, doing=f"cannot watch {self._arguments[0]}")
        self._epoll.register(self._process, select.EPOLLIN)
        self._epoll.register(self._output, select.EPOLLIN)
        return None

    def _drain(self) -> bool:
        """Read what is there, up to a limit a turn. False: nobody will write any more."""
        for _ in range(64):
            try:
                piece = os.read(self._output, _PIECE)
            except BlockingIOError:
                return True
            if not piece:
                return False
            if b"\n" not in self._line and len(self._line) < _PIECE:
                self._line += piece
        return True

    def _judge(self) -> Outcome:
        exit_ = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        said = self._reason()
        if exit_ is None or exit_.si_code != os.CLD_EXITED:
            number = 0 if exit_ is None else exit_.si_status
            return failed(f"killed by {_signal_name(number)}" + (f": {said}" if said else ""))
        if exit_.si_status == 0:
            return passed(said or "exit status 0")
        return failed(f"exit status {exit_.si_status}" + (f": {said}" if said else ""))

    def _reason(self) -> str:
        text = self._line.partition(b"\n")[0].decode("utf-8", "replace").strip()
        return "".join(char if char.isprintable() else " " for char in text)[:LONGEST_REASON]


def prepare(question: Question, *, command: tuple[str, ...]) -> Callable[[], Attempt]:
    """What makes the attempts; ``%h`` and ``%p`` become address and port, wherever they stand."""
    arguments = tuple(
        argument.replace("%h", str(question.address)).replace("%p", str(question.port))
        for argument in command
    )
    return lambda: ProgramAttempt(arguments)


def _spawn(arguments: tuple[str, ...], *, output: int) -> int:
    return os.posix_spawnp(
        arguments[0],
        arguments,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    )


def _kill_group(pid: int) -> None:
    """Kill before reaping: until then the group's number cannot have become another's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _dying.append(pid)
    _reap()


def _reap() -> None:
    _dying[:] = [pid for pid in _dying if os.waitpid(pid, os.WNOHANG) == (0, 0)]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
