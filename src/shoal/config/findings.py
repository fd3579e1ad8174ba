"""What is wrong with a file, gathered so that the operator sees all of it at once and nothing of it twice."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from shoal.config.tables import TablePath
from shoal.errors import ConfigError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

S = TypeVar("S")
T = TypeVar("T")


def dotted(path: TablePath) -> str:
    """A key's path as people write it: ``virtual_servers[0].monitor.path``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else json.dumps(part)
            text += f".{name}" if text else name
    return text


def _printable(text: str) -> str:
    """The text without control characters: names that are quoted from a file may hold some."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class Findings:
    """The errors of one file. A report about a key silences later ones that only follow from it."""

    def __init__(self) -> None:
        self._found: list[tuple[TablePath, ConfigError]] = []
        self._unsound: set[TablePath] = set()
        self._above_unsound: set[TablePath] = set()

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self._found)

    def distrust(self, path: TablePath) -> None:
        """Take the key for wrong without an error of its own."""
        self._unsound.add(path)
        self._above_unsound.update(path[:length] for length in range(len(path)))

    def is_sound(self, path: TablePath) -> bool:
        """Whether nothing is wrong so far at the key, above it or below it."""
        if not self._unsound:  # nearly always, and asked of every real server by every rule
            return True
        if path in self._above_unsound:
            return False
        return not any(path[:length] in self._unsound for length in range(len(path) + 1))

    def report(self, path: TablePath, *, problem: str, fix: str, needs: Iterable[TablePath] = ()) -> None:
        """Add an error, unless it follows from one at this key or at the keys in ``needs``."""
        if all(self.is_sound(each) for each in (path, *needs)):
            self._found.append((path, ConfigError(problem=problem, fix=fix)))
            self.distrust(path)

    def read(self, path: TablePath, notation: Callable[[S], T], *, of: S) -> T | None:
        """A value by its notation; None when it breaks it, which is then reported."""
        try:
            return notation(of)
        except ConfigError as error:
            self.report(path, problem=error.problem, fix=error.fix)
            return None

    def errors(self, *, source: str, lines: Mapping[TablePath, int]) -> tuple[ConfigError, ...]:
        """Every error with its place, by line. A key that is not there stands in its table."""
        placed = []
        for path, error in self._found:
            line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 1)
            where = f"{source}:{line}: {dotted(path)}"
            said = ConfigError(where=where, problem=_printable(error.problem), fix=_printable(error.fix))
            placed.append((line, said))
        return tuple(error for _, error in sorted(placed, key=lambda each: each[0]))
