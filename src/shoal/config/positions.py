"""On which line every key of a TOML file stands.

The scanner trusts that ``tomllib`` has already accepted the text, so it only has to find where keys and
values begin and end (TOML 1.0); keys in quotes are decoded by ``tomllib`` itself.
"""

import bisect
import re
import tomllib

from shoal.config.tables import TablePath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?""""{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*|[^\s,\]}#]+")


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._lengths: dict[TablePath, int] = {}
        self.lines: dict[TablePath, int] = {}

    def _skip(self, pattern: re.Pattern[str]) -> str:
        """Step over what the pattern matches here, at least one character unless it may match nothing."""
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"unexpected text at offset {self._at}")
        self._at = match.end()
        return match.group()

    def _next_is(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _mark(self, path: TablePath, offset: int) -> None:
        line = bisect.bisect_left(self._line_ends, offset) + 1
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _key(self) -> TablePath:
        """A dotted key, and the blanks after it."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            if self._next_is('"') or self._next_is("'"):
                parts.append(tomllib.loads(f"key = {self._skip(_STRING)}")["key"])
            else:
                parts.append(self._skip(_BARE_KEY))
            self._skip(_SPACE)
            if not self._next_is("."):
                return tuple(parts)
            self._at += 1

    def _key_value(self, table: TablePath) -> None:
        offset = self._at
        path = (*table, *self._key())
        self._at += 1  # the equals sign
        self._mark(path, offset)
        self._value(path)

    def _value(self, path: TablePath) -> None:
        self._skip(_SPACE)
        if self._next_is("["):
            self._array(path)
        elif self._next_is("{"):
            self._inline_table(path)
        elif self._next_is('"') or self._next_is("'"):
            self._skip(_STRING)
        else:
            self._skip(_BARE_VALUE)

    def _array(self, path: TablePath) -> None:
        self._at += 1
        self._skip(_BLANK)
        index = 0
        while not self._next_is("]"):
            self._mark((*path, index), self._at)
            self._value((*path, index))
            index += 1
            self._skip(_BLANK)
            if self._next_is(","):
                self._at += 1
                self._skip(_BLANK)
        self._at += 1

    def _inline_table(self, path: TablePath) -> None:
        self._at += 1
        self._skip(_SPACE)
        while not self._next_is("}"):
            self._key_value(path)
            self._skip(_SPACE)
            if self._next_is(","):
                self._at += 1
                self._skip(_SPACE)
        self._at += 1

    def _resolve(self, key: TablePath) -> TablePath:
        """A header's path: through an array of tables it goes to the last one (TOML 1.0, Array of Tables)."""
        path: TablePath = ()
        for part in key:
            path = (*path, part)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return path

    def _header(self) -> TablePath:
        offset = self._at
        brackets = 2 if self._next_is("[[") else 1
        self._at += brackets
        key = self._key()
        self._at += brackets
        if brackets == 1:
            path = self._resolve(key)
        else:
            array = (*self._resolve(key[:-1]), key[-1])
            self._lengths[array] = self._lengths.get(array, 0) + 1
            path = (*array, self._lengths[array] - 1)
        self._mark(path, offset)
        return path

    def run(self) -> None:
        table: TablePath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._next_is("["):
                table = self._header()
            else:
                self._key_value(table)
            self._skip(_BLANK)


def positions(text: str) -> dict[TablePath, int]:
    """The line (from 1) of every table, key and array element of a text that ``tomllib`` accepts."""
    scanner = _Scanner(text)
    scanner.run()
    return scanner.lines
