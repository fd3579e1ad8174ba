"""The process lock and the process name."""

import os
from pathlib import Path

import pytest

from shoal.errors import UnavailableError
from shoal.system.process import ProcessLock, lock_holder, set_process_name


def test_the_lock_names_the_process_that_holds_it(tmp_path: Path) -> None:
    lock = ProcessLock.acquire(tmp_path / "run" / "x.lock", what="lvsd")
    assert lock_holder(tmp_path / "run" / "x.lock") == os.getpid()
    lock.release()


def test_a_second_process_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    lock = ProcessLock.acquire(tmp_path / "x.lock", what="lvsd")
    with pytest.raises(UnavailableError) as refusal:
        ProcessLock.acquire(tmp_path / "x.lock", what="lvsd")
    assert refusal.value.problem == f"another lvsd runs already (process {os.getpid()})"
    assert refusal.value.where == str(tmp_path / "x.lock")
    lock.release()


def test_a_released_lock_has_no_holder_and_can_be_taken_again(tmp_path: Path) -> None:
    ProcessLock.acquire(tmp_path / "x.lock", what="lvsd").release()
    assert lock_holder(tmp_path / "x.lock") is None
    ProcessLock.acquire(tmp_path / "x.lock", what="lvsd").release()


def test_a_lock_that_was_never_taken_has_no_holder(tmp_path: Path) -> None:
    assert lock_holder(tmp_path / "none.lock") is None


def test_the_process_name_is_what_the_kernel_shows() -> None:
    before = Path("/proc/self/comm").read_text().strip()
    try:
        set_process_name("shoal-test-with-a-long-name")
        assert Path("/proc/self/comm").read_text() == "shoal-test-with\n"
    finally:
        set_process_name(before)
