"""The supervisor's log."""

import json

import pytest

from shoal.ipc.messages import Record
from shoal.supervisor.log import Log

STARTED = Record(at=0.25, source="supervisor", event="child.started", fields={"child": "lvsd"})
DIED = Record(at=1.5, source="supervisor", event="child.died", cause="exit status 1", fields={"event": "x"})


def test_what_was_written_before_the_log_was_open_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.write(STARTED)
    assert capsys.readouterr().err == ""
    log.open()
    log.write(DIED)
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == [
        "child.started",
        "child.died",
    ]


def test_a_line_has_the_time_of_the_event_its_cause_and_its_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = Log()
    log.open()
    log.write(DIED)
    assert json.loads(capsys.readouterr().err) == {
        "event": "child.died",
        "event_": "x",
        "cause": "exit status 1",
        "source": "supervisor",
        "timestamp": "1970-01-01T00:00:01.500+00:00",
        "level": "warning",
    }
