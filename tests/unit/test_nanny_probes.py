"""Every probe against real servers on loopback."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model import ProgramProbe, Protocol, SendExpectProbe
from shoal.nanny.engine import Engine
from shoal.nanny.machine import Outcome, Verdict
from shoal.nanny.probes.base import excerpt, refused
from shoal.nanny.probes.send_expect import Expectation
from support.health_checks import (
    ask,
    bad,
    closed_port,
    is_alive,
    ok,
    question,
    says,
    server,
    udp_server,
    wait_until,
    waits,
)

PASS, FAIL, VOID = Verdict.PASS, Verdict.FAIL, Verdict.VOID


# TCP


def test_tcp_passes_when_the_connection_is_accepted():
    with server(waits) as port:
        assert ask(question(port)) == ok("connected")


def test_tcp_fails_when_nobody_listens():
    assert ask(question(closed_port())) == bad("connection refused")


def test_tcp_fails_when_nobody_answers():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(
            ("127.0.0.1", port)
        ):  # fills the queue, so that the next SYN is dropped
            outcome = ask(question(port, timeout=0.2))
    assert outcome == bad("no connection within 0.2 s")


def test_tcp_leaves_no_connection_behind():
    with server(waits) as port:
        for _ in range(20):
            ask(question(port))
        lines = Path("/proc/net/tcp").read_text().splitlines()
        left = [
            line for line in lines if f":{port:04X} " in line.split()[2] + " " and line.split()[3] == "06"
        ]
        assert left == []


# Send and expect


@pytest.mark.parametrize(
    ("probe", "answer", "outcome"),
    [
        (SendExpectProbe(send=b"PING\r\n", expect=b"+PONG"), b"+PONG\r\n", ok('answered "+PONG\\r\\n"')),
        (SendExpectProbe(send=b"x", expect=b"*"), b"\x00", ok('answered "\\x00"')),
        (SendExpectProbe(send=b"x", expect=b"**"), b"*!", bad('answered "*!", expected "**"')),
        (
            SendExpectProbe(send=b"x", expect=b"220 "),
            b"554 no\r\n",
            bad('answered "554 no\\r\\n", expected "220 "'),
        ),
        (SendExpectProbe(send=b"x", expect=b"220 "), b"22", bad('answered "22", expected "220 "')),
        (SendExpectProbe(send=b"x", expect=b"*"), b"", bad("connection closed without an answer")),
        (SendExpectProbe(send=b"x", regex="22[0-9]"), b"... 225", ok('answered "... 225"')),
        (
            SendExpectProbe(send=b"x", regex="^ok$"),
            b"not ok",
            bad('answered "not ok", which does not match /^ok$/'),
        ),
        (SendExpectProbe(send=b"x", regex="é"), "café".encode(), ok('answered "caf\\xc3\\xa9"')),
        (SendExpectProbe(send=b"x", regex="x"), b"", bad("connection closed without an answer")),
        (SendExpectProbe(), b"", ok("connected")),
        (SendExpectProbe(send=b"x"), b"", ok("connected")),
    ],
)
def test_send_expect_judges_the_answer(probe: SendExpectProbe, answer: bytes, outcome: Outcome):
    with server(says(answer)) as port:
        assert ask(question(port, probe)) == outcome


def test_send_expect_judges_a_greeting_while_the_connection_stays_open():
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 mail ready\r\n")
        waits(connection)

    with server(greet) as port:
        outcome = ask(question(port, SendExpectProbe(regex=r"^220 \w+")))
    assert outcome == ok('answered "220 mail ready\\r\\n"')


def test_send_expect_waits_for_the_rest_of_the_expected_beginning():
    with server(says(b"22", b"0", b" hello")) as port:
        outcome = ask(question(port, SendExpectProbe(send=b"x", expect=b"220 hel")))
    assert outcome == ok('answered "220 hello"')


def test_send_expect_looks_at_the_first_4096_bytes_only():
    with server(says(b"x" * 4096 + b"needle")) as port:
        assert ask(question(port, SendExpectProbe(send=b"x", regex="needle"))).verdict is FAIL


def test_send_expect_says_what_came_when_the_rest_does_not():
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"22")
        waits(connection)

    with server(talk) as port:
        outcome = ask(question(port, SendExpectProbe(expect=b"220"), timeout=0.2))
    assert outcome == bad('no more than "22" within 0.2 s')


@given(st.binary(max_size=30), st.binary(min_size=1, max_size=6))
def test_an_expectation_is_a_prefix_and_is_judged_as_soon_as_it_can_be(answer: bytes, expect: bytes):
    judged = [
        Expectation(expect=expect, regex=None).judge(answer[:n], complete=False)
        for n in range(len(answer) + 1)
    ]
    verdicts = [outcome.verdict for outcome in judged if outcome is not None]
    wanted = b"" if expect == b"*" else expect
    assert (PASS in verdicts) == (bool(answer) and answer.startswith(wanted))
    assert len(set(verdicts)) <= 1


UDP = Protocol.UDP


def test_udp_passes_when_the_answer_is_as_expected():
    with udp_server(b"pong") as (port, received):
        outcome = ask(question(port, SendExpectProbe(send=b"ping", expect=b"po"), protocol=UDP))
        assert (outcome, received) == (ok('answered "pong"'), [b"ping"])


@pytest.mark.parametrize(
    ("probe", "outcome"),
    [
        (SendExpectProbe(send=b"x", expect=b"yes"), bad('answered "no", expected "yes"')),
        (SendExpectProbe(send=b"x", expect=b"no!"), bad('answered "no", expected "no!"')),
        (SendExpectProbe(send=b"x", regex="n|y"), ok('answered "no"')),
        (SendExpectProbe(send=b"x"), ok('answered "no"')),
        (SendExpectProbe(), ok('answered "no"')),
    ],
)
def test_udp_judges_the_first_datagram(probe: SendExpectProbe, outcome: Outcome):
    with udp_server(b"no") as (port, _):
        assert ask(question(port, probe, protocol=UDP)) == outcome


def test_udp_fails_on_an_empty_answer_where_a_byte_is_expected():
    with udp_server(b"") as (port, _):
        outcome = ask(question(port, SendExpectProbe(send=b"x", expect=b"*"), protocol=UDP))
    assert outcome == bad("answered with an empty datagram")


def test_udp_fails_when_nobody_listens():
    outcome = ask(question(closed_port(), SendExpectProbe(send=b"x"), protocol=UDP))
    assert outcome == bad("port unreachable")


def test_udp_fails_when_nobody_answers():
    with udp_server(None) as (port, _):
        outcome = ask(question(port, SendExpectProbe(send=b"x"), protocol=UDP, timeout=0.2))
    assert outcome == bad("no answer within 0.2 s")


# Programs


def run(*command: str, timeout: float = 5.0, engine: Engine | None = None) -> Outcome:
    return ask(question(8080, ProgramProbe(command=command), timeout=timeout), engine=engine)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 0", ok("exit status 0")),
        ("echo fine; echo more", ok("fine")),
        ("exit 3", bad("exit status 3")),
        ("echo broken >&2; exit 1", bad("exit status 1: broken")),
        ("kill -SEGV $$", bad("killed by SIGSEGV")),
        ("printf 'a\\tb\\033c\\n'", ok("a b c")),
        ("cat", ok("exit status 0")),
    ],
)
def test_a_program_is_judged_by_its_exit_status(script: str, outcome: Outcome):
    assert run("/bin/sh", "-c", script) == outcome


def test_a_program_gets_address_and_port_anywhere_in_its_arguments():
    outcome = run("/bin/echo", "%h", "%p", "http://%h:%p/%h", "100%")
    assert outcome == ok("127.0.0.1 8080 http://127.0.0.1:8080/127.0.0.1 100%")


def test_a_program_is_found_by_path():
    assert run("true") == ok("exit status 0")


def test_a_program_that_does_not_exist_fails_with_its_name():
    outcome = run("/no/such/check")
    assert outcome == bad("cannot run /no/such/check: no such file or directory")


def test_a_program_that_prints_without_end_still_ends():
    assert run("/bin/sh", "-c", "head -c 3000000 /dev/zero; exit 4").reason.startswith("exit status 4")


def test_a_program_that_closes_its_output_is_still_waited_for():
    assert run("/bin/sh", "-c", "exec >&- 2>&-; sleep 0.1; exit 5") == bad("exit status 5")


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path):
    engine = Engine()
    child, parent = tmp_path / "child", tmp_path / "parent"
    script = f"echo $$ > {parent}; sleep 60 & echo $! > {child}; trap '' TERM; wait"
    outcome = run("/bin/sh", "-c", script, timeout=0.3, engine=engine)
    assert outcome == bad("not finished within 0.3 s")
    wait_until(lambda: not is_alive(parent) and not is_alive(child))
    engine.close()


def test_what_a_program_leaves_running_is_killed_when_it_ends(tmp_path: Path):
    child = tmp_path / "child"
    assert run("/bin/sh", "-c", f"sleep 60 & echo $! > {child}; exit 0").verdict is PASS
    wait_until(lambda: not is_alive(child))


def test_programs_leave_no_zombies_and_no_descriptors():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        run("true")
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# What is common


@pytest.mark.parametrize(("code", "verdict"), [(24, VOID), (99, VOID), (105, VOID), (111, FAIL), (113, FAIL)])
def test_what_this_router_lacks_is_not_held_against_the_server(code: int, verdict: Verdict):
    assert refused(code).verdict is verdict


def test_a_failure_that_is_found_at_once_is_an_outcome_too():
    outcome = ask(question(80, address="255.255.255.255"))
    assert outcome == bad("network is unreachable")


@given(st.binary())
def test_an_excerpt_is_short_and_printable(answer: bytes):
    assert excerpt(answer).isprintable()
    assert len(excerpt(answer)) <= 40 * 4 + 5
