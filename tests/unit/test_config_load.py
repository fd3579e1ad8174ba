"""Files that cannot be read, TOML that is none, and the key's own file."""

import contextlib
import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import config
from shoal.config import notation
from shoal.errors import ConfigError, ConfigErrors
from support.configs import FULL, SMALL, one, problems, swap


def load_problem(path: Path) -> tuple[str, str]:
    with pytest.raises(ConfigErrors) as caught:
        config.load(path)
    (error,) = caught.value.errors
    assert error.fix
    return error.where, error.problem


def test_a_file_is_read_like_its_text(tmp_path: Path):
    path = tmp_path / "shoal.toml"
    path.write_text(FULL)
    assert config.load(path) == config.parse(FULL, source="f")


def test_a_missing_file_is_an_error(tmp_path: Path):
    path = tmp_path / "shoal.toml"
    assert load_problem(path) == (str(path), "cannot read the file: No such file or directory")


def test_a_folder_is_an_error(tmp_path: Path):
    assert load_problem(tmp_path) == (str(tmp_path), "cannot read the file: Is a directory")


def test_bytes_that_are_not_utf8_are_an_error_at_their_line(tmp_path: Path):
    path = tmp_path / "shoal.toml"
    path.write_bytes(b'serial = 1\nname = "\xff"\n')
    assert load_problem(path) == (f"{path}:2", "byte 0xff is not UTF-8")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_file_is_an_error(text):
    assert one(text) == ("f", "the file is empty")


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("serial = 7\nname\n", "f:2", "Expected '=' after a key in a key/value pair (column 5)"),
        ('a = 1\nb = "x\n', "f:2", "Illegal character '\\n' (column 7)"),
        ("a = 1\na = 2", "f:2", "Cannot overwrite a value"),
        ("[a]\n[a]\n", "f:2", "Cannot declare ('a',) twice (column 3)"),
        ("a = [1,\n2", "f:2", "Unclosed array"),
        ("\ufeffa = 1", "f:1", "Invalid statement (column 1)"),
        ("a = \0", "f:1", "Invalid value (column 5)"),
    ],
)
def test_broken_toml_is_an_error_at_its_line(text, where, problem):
    assert one(text) == (where, problem)


def test_lists_nested_too_deep_are_an_error():
    assert one("a = " + "[" * 5000 + "]" * 5000) == ("f", "lists or tables are nested too deep")


def test_a_number_of_too_many_digits_is_an_error():
    where, problem = one("serial = " + "9" * 5000)
    assert (where, problem.split(":")[0]) == ("f", "a value cannot be read")


# -- the key's file


def with_key_file(path: Path | str) -> str:
    return swap('key = "sixteen characters or more"', f'key_file = "{path}"')


def key_file(tmp_path: Path, content: bytes, *, mode: int) -> Path:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_file_open_to_others_is_an_error(tmp_path: Path, mode):
    path = key_file(tmp_path, b"0123456789abcdef", mode=mode)
    assert problems(with_key_file(path)) == [
        (
            "f:5: cluster.key_file",
            f"the key file {path} is open to others (mode {mode:04o})",
            f"Close it with: chmod 600 {path}",
        )
    ]


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_for_its_owner_alone_is_accepted(tmp_path: Path, mode):
    path = key_file(tmp_path, b"\x80123456789abcdef", mode=mode)
    assert config.parse(with_key_file(path), source="f").key == b"\x80123456789abcdef"


def test_a_short_key_in_a_file_is_an_error(tmp_path: Path):
    path = key_file(tmp_path, b"0123456789abcde\n", mode=0o600)
    assert one(with_key_file(path)) == (
        "f:5: cluster.key_file",
        "the key has 15 characters, fewer than 16",
    )


def test_a_missing_key_file_is_an_error(tmp_path: Path):
    path = tmp_path / "none"
    assert one(with_key_file(path))[1] == f"the key file {path} cannot be read: No such file or directory"


def test_a_folder_as_key_file_is_an_error(tmp_path: Path):
    assert one(with_key_file(tmp_path))[1] == f"the key file {tmp_path} is not a regular file"


def test_a_large_key_file_is_an_error(tmp_path: Path):
    path = key_file(tmp_path, b"x" * 4097, mode=0o600)
    assert one(with_key_file(path))[1] == f"the key file {path} is larger than 4096 bytes"


def test_a_relative_key_file_is_an_error():
    assert one(with_key_file("cluster.key"))[1] == "'cluster.key' is not an absolute path"


def test_a_key_and_a_key_file_together_are_an_error(tmp_path: Path):
    path = key_file(tmp_path, b"0123456789abcdef", mode=0o600)
    text = swap("heartbeat_port", f'key_file = "{path}"\nheartbeat_port')
    assert one(text) == ("f:5: cluster.key", "both key and key_file are given")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_key_file_that_may_not_be_read_is_an_error(tmp_path: Path):
    path = key_file(tmp_path, b"0123456789abcdef", mode=0o600)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        found = one(with_key_file(path))[1]
    finally:
        os.seteuid(0)
    assert found == f"the key file {path} cannot be read: Permission denied"


@pytest.mark.parametrize("text", [FULL, swap("priority = 150", "priority = 1000")])
def test_nothing_is_remembered_of_a_file_once_it_is_read(text: str):
    with contextlib.suppress(ConfigErrors):
        config.parse(text, source="f")
    assert notation.address.cache_info().currsize == 0


# -- the digest


def digest(text: str) -> bytes:
    return config.parse(text, source="f").digest


def test_the_digest_of_a_file_changes_only_when_shoal_learns_something():
    known = "664ad37236e047f50f743268fd39a48ccbc381b35ef42e7b4c7bb5ed88860039"
    assert digest(FULL).hex() == known  # routers compare theirs; a new setting changes it


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("serial = 7\n", "# a comment\n\nserial   =   0x07\n"),
        ("interval = 2\n", "interval = 2.0\n"),
        ("priority = 150", "priority = +150"),
        ('key = "sixteen characters or more"', 'key = "another key of more than sixteen"'),
        ('method = "nat"\n', ""),
        ('"192.0.2.10:80/tcp", "192.0.2.10:443/tcp"', '"192.0.2.10:443/tcp", "192.0.2.10:80/tcp"'),
        ('["10.0.1.21:53"]', '[{ address = "10.0.1.21", port = 53, weight = 1 }]'),
        ("statuses = [", "timeout = 1.0\nfall = 2\nport = 0\nstatuses = ["),
    ],
)
def test_the_digest_keeps_when_only_the_layout_or_the_key_changes(old, new):
    assert digest(swap(old, new)) == digest(FULL)


def test_the_digest_keeps_when_named_things_change_places():
    head, www, dns = FULL.split("[[virtual_servers]]\n")
    assert digest("[[virtual_servers]]\n".join((head, dns, www))) == digest(FULL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("serial = 7", "serial = 8"),
        ('name = "web"', 'name = "wob"'),
        ("priority = 150", "priority = 151"),
        ("weight = 3", "weight = 4"),
        ('type = "http"', 'type = "https"'),
        ('path = "/health"', 'path = "/"'),
        ("192.0.2.53:53/udp", "192.0.2.53:53/tcp"),
        ('gateway = "10.0.1.1/24"', 'gateway = "10.0.1.2/24"'),
        ("max_connections = 65_536", "max_connections = 65_537"),
        ('name = "rs1"', 'name = "rs2"'),
    ],
)
def test_the_digest_changes_with_the_meaning(old, new):
    assert digest(swap(old, new)) != digest(FULL)


def test_the_order_of_real_servers_is_part_of_the_meaning():
    other = swap('"10.0.1.21:80", "10.0.1.22:80"', '"10.0.1.22:80", "10.0.1.21:80"', text=SMALL)
    assert digest(other) != digest(SMALL)


def test_monitors_of_two_types_with_the_same_rhythm_differ_in_the_digest():
    first = digest(f'{SMALL}monitor = {{ type = "tcp" }}\n')
    assert first != digest(f'{SMALL}monitor = {{ type = "send_expect" }}\n')


# -- garbage

CHUNKS = FULL.splitlines(keepends=True)
FRAGMENTS = st.sampled_from(
    [
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "=",
        ".",
        ",",
        "\n",
        "#",
        "\\",
        "\r",
        "\0",
        "nan",
        "1e999",
        "é",
        "-",
        "[[x]]\n",
    ]
)


def refusal(text: str) -> tuple[ConfigError, ...] | None:
    try:
        config.parse(text, source="f")
    except ConfigErrors as caught:
        return caught.errors
    return None


def parses_or_explains(text: str) -> None:
    errors = refusal(text)
    if errors is None:
        return
    assert errors
    for error in errors:
        assert error.where.startswith("f")
        assert error.problem
        assert error.fix
        assert (error.where + error.problem + error.fix).isprintable()


@given(st.text())
def test_any_text_is_read_or_refused_with_reasons(text):
    parses_or_explains(text)


@given(st.lists(st.sampled_from(CHUNKS) | FRAGMENTS, max_size=40).map("".join))
def test_shuffled_lines_are_read_or_refused_with_reasons(text):
    parses_or_explains(text)


@given(st.integers(0, len(FULL)), st.integers(0, 12), FRAGMENTS | st.text(max_size=3))
def test_a_damaged_file_is_read_or_refused_with_reasons(at, removed, inserted):
    parses_or_explains(FULL[:at] + inserted + FULL[at + removed :])


VALUES = st.recursive(
    st.sampled_from(
        ['"x"', "1", "-1", "1.5", "true", "1979-05-27", '"10.0.1.1/24"', '"192.0.2.10:80/tcp"', '"*"']
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]")
        | st.lists(inner, max_size=2).map(
            lambda each: f"{{ {', '.join(f'k{n} = {v}' for n, v in enumerate(each))} }}"
        )
        | inner.map(lambda each: f'{{ name = "n", type = {each} }}')
    ),
    max_leaves=6,
)


@given(st.sampled_from([n for n, line in enumerate(CHUNKS) if " = " in line]), VALUES)
def test_any_value_for_any_key_is_read_or_refused_with_reasons(number, value):
    key = CHUNKS[number].partition(" = ")[0]
    parses_or_explains("".join((*CHUNKS[:number], f"{key} = {value}\n", *CHUNKS[number + 1 :])))


def test_control_characters_in_names_do_not_reach_the_terminal():
    text = swap('name = "lb2"', 'name = "\\u001b[2J"').replace('private = "10.0.1.12"\n', "")
    for where, problem, fix in problems(text):
        assert (where + problem + fix).isprintable()
