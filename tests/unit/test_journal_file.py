"""The file that the journal is written to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.system.rotating_file import RotatingFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.jsonl"


def test_lines_are_appended_to_what_a_predecessor_wrote(path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        file = RotatingFile(path)
        assert file.append(text)
        file.close()
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_line_that_a_predecessor_left_torn_is_ended_first(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'one\n{"seq"')
    RotatingFile(path).append(b"two\n")
    assert path.read_bytes() == b'one\n{"seq"\ntwo\n'


def test_a_full_file_is_moved_on_and_only_so_many_are_kept(path: Path) -> None:
    file = RotatingFile(path, limit=8, keep=3)
    for number in range(9):
        assert file.append(f"ln{number}\n".encode())
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "journal.jsonl",
        "journal.jsonl.1",
        "journal.jsonl.2",
    ]
    assert file.tail(100) == [b"ln4", b"ln5", b"ln6", b"ln7", b"ln8"]


def test_the_tail_is_the_newest_lines_across_files(path: Path) -> None:
    file = RotatingFile(path, limit=8, keep=3)
    for number in range(5):
        file.append(f"ln{number}\n".encode())
    assert file.tail(2) == [b"ln3", b"ln4"]


def test_where_nothing_was_written_the_tail_is_empty(path: Path) -> None:
    assert RotatingFile(path).tail(10) == []


def test_a_folder_that_cannot_be_made_is_told_and_writing_goes_on_once_it_can(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    file = RotatingFile(tmp_path / "state" / "journal.jsonl")
    assert not file.append(b"lost\n")
    assert file.trouble == f"{tmp_path}/state/journal.jsonl: File exists"
    (tmp_path / "state").unlink()
    assert file.append(b"kept\n")
    assert file.trouble == ""
    assert file.tail(10) == [b"kept"]


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from shoal.system.rotating_file import RotatingFile

path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
file = RotatingFile(path)
seen = [file.append(b"x" * 79 + b"\\n"), file.append(b"y" * 40 + b"\\n"), file.trouble, path.stat().st_size]
seen += [file.append(b"z" * 10 + b"\\n"), file.trouble, [line[:1].decode() for line in file.tail(10)]]
print(json.dumps(seen))
"""


def test_a_full_disk_leaves_no_torn_line_behind(path: Path) -> None:
    """A limit on the size of files stands in for the disk; in a process of its own, since it is for every file."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    full = f"{path}: No space left on device"
    assert json.loads(done.stdout) == [True, False, full, 80, True, "", ["x", "z"]]
