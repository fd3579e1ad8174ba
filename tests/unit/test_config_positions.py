"""Every key of a TOML file is found on its line."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.config.positions import positions
from support.configs import FULL


def every_path(value, path=()):
    """The path of every table, key and element of what tomllib read."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from every_path(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from every_path(each, (*path, index))


def test_every_key_of_a_full_file_has_a_line_that_holds_it():
    lines = positions(FULL)
    text = FULL.splitlines()
    paths = list(every_path(tomllib.loads(FULL)))
    assert set(lines) == set(paths)
    for path in paths:
        name = next(part for part in reversed(path) if isinstance(part, str))
        assert name in text[lines[path] - 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = 2", {("a",): 1, ("b",): 2}),
        ("# c\r\n\r\na = 1\r\nb = 2\r\n", {("a",): 3, ("b",): 4}),
        ("a.b.c = 1\na.d = 2", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1, ("a", "d"): 2}),
        ("[a]\nb = 1\n[a.c]\nd = 1", {("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", "d"): 4}),
        (
            "[[a]]\nb = 1\n[[a]]\nb = 2",
            {("a",): 1, ("a", 0): 1, ("a", 0, "b"): 2, ("a", 1): 3, ("a", 1, "b"): 4},
        ),
        (
            "[[a]]\n[[a.b]]\n[[a.b]]\n[a.b.c]\n[[a]]\n[[a.b]]",
            {
                ("a",): 1,
                ("a", 0): 1,
                ("a", 0, "b"): 2,
                ("a", 0, "b", 0): 2,
                ("a", 0, "b", 1): 3,
                ("a", 0, "b", 1, "c"): 4,
                ("a", 1): 5,
                ("a", 1, "b"): 6,
                ("a", 1, "b", 0): 6,
            },
        ),
        (
            "a = [ # one\n  1,\n  { b = [2] }, # two\n]\nc = 1",
            {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 1, "b"): 3, ("a", 1, "b", 0): 3, ("c",): 5},
        ),
        ('a = """\nb = 1\n""""\nc = 1', {("a",): 1, ("c",): 4}),
        ("a = '''\nb'''''\nc = 1", {("a",): 1, ("c",): 3}),
        ('a = "\\"#"\nb = \'\\\'\n"c.\\u0064" = 1', {("a",): 1, ("b",): 2, ("c.d",): 3}),
        ("a = 1979-05-27 07:32:00Z # x\nb = 1979-05-27\nc = 07:32:00", {("a",): 1, ("b",): 2, ("c",): 3}),
        (
            "[ a . 'b c' ]\n\"\" = {}\nd = []",
            {("a",): 1, ("a", "b c"): 1, ("a", "b c", ""): 2, ("a", "b c", "d"): 3},
        ),
    ],
)
def test_keys_are_found_on_their_lines(text, expected):
    assert positions(text) == expected


PIECES = st.sampled_from(
    [
        "[a]\n",
        "[[b]]\n",
        "[b.c]\n",
        "[[b.d]]\n",
        "x = 1\n",
        "y = [1, [2]]\n",
        'z = { k = "}" }\n',
        "a.q = '#'\n",
        "\n",
        'm = """\n[x]\n"""\n',
        "# [c]\n",
        "w = [\n  { v = 1 }, # ]\n]\n",
        '"t\\n" = 1e5\n',
        "u = -inf\n",
        "s . r = 1\n",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_whatever_tomllib_reads_has_a_position_for_every_key(text):
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(positions(text)) == set(every_path(document))
