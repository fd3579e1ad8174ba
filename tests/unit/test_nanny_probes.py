"""Every probe against real servers on loopback."""

import os
import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model import HttpProbe, ProgramProbe, Protocol, SendExpectProbe
from shoal.nanny.engine import Engine
from shoal.nanny.machine import Outcome, Verdict
from shoal.nanny.probes import http, prepare
from shoal.nanny.probes.base import excerpt, refused
from shoal.nanny.probes.send_expect import Expectation
from support.health_checks import (
    ask,
    certificate,
    closed_port,
    question,
    says,
    server,
    udp_server,
    wait_until,
    waits,
)

PASS, FAIL, VOID = Verdict.PASS, Verdict.FAIL, Verdict.VOID


def ok(reason: str) -> Outcome:
    return Outcome(PASS, reason)


def bad(reason: str) -> Outcome:
    return Outcome(FAIL, reason)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


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


# HTTP


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (OK, ok("HTTP 200")),
        (b"HTTP/1.0 302 Found\n\n", ok("HTTP 302")),
        (b"HTTP/1.1 204\r\n\r\n", ok("HTTP 204")),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", bad("HTTP 503, expected 200-399")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ok("HTTP 200")),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 500 No\r\n",
            bad("HTTP 500, expected 200-399"),
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", bad('not an HTTP answer: "SSH-2.0-OpenSSH_9.2\\r\\n"')),
        (b"\x15\x03\x01\x00\x02\x02\x46", bad('not an HTTP answer: "\\x15\\x03\\x01\\x00\\x02\\x02F"')),
        (b"HTTP/1.1 two hundred\r\n\r\n", bad('not an HTTP answer: "HTTP/1.1 two hundred\\r\\n\\r\\n"')),
        (b"HTTP/1.1 20", bad('connection closed in the middle of the status: "HTTP/1.1 20"')),
        (b"", bad("connection closed without an answer")),
    ],
)
def test_http_judges_the_status(answer: bytes, outcome: Outcome):
    with server(says(answer)) as port:
        assert ask(question(port, HttpProbe())) == outcome


@pytest.mark.parametrize("cut", range(1, 16))
def test_http_bears_an_answer_in_two_pieces(cut: int):
    with server(says(OK[:cut], OK[cut:])) as port:
        assert ask(question(port, HttpProbe())) == ok("HTTP 200")


def test_http_bears_an_answer_byte_by_byte():
    with server(says(*[OK[n : n + 1] for n in range(20)])) as port:
        assert ask(question(port, HttpProbe())) == ok("HTTP 200")


def test_http_knows_single_statuses_and_ranges():
    probe = HttpProbe(statuses=((200, 299), (301, 301)))
    with server(says(b"HTTP/1.1 301 Moved\r\n\r\n")) as port:
        assert ask(question(port, probe)) == ok("HTTP 301")
    with server(says(b"HTTP/1.1 302 Found\r\n\r\n")) as port:
        assert ask(question(port, probe)) == bad("HTTP 302, expected 200-299, 301")


def test_http_fails_when_the_answer_does_not_come_in_time():
    with server(waits) as port:
        outcome = ask(question(port, HttpProbe(), timeout=0.2))
    assert outcome == bad("connected, but no answer within 0.2 s")


def test_http_fails_when_half_a_status_line_is_all_that_comes_in_time():
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 2")
        waits(connection)

    with server(talk) as port:
        outcome = ask(question(port, HttpProbe(), timeout=0.2))
    assert outcome == bad("no whole status line within 0.2 s")


def test_http_fails_when_the_server_resets_the_connection():
    def talk(connection: socket.socket) -> None:
        connection.recv(1)  # the rest stays unread, so that closing resets

    with server(talk) as port:
        assert ask(question(port, HttpProbe())) == bad("connection reset by peer")


def test_http_gives_up_on_interim_answers_without_end():
    with server(says(*[b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 9000] * 2)) as port:
        outcome = ask(question(port, HttpProbe()))
    assert outcome == bad("the answer has no end of its head")


def test_http_gives_up_on_a_status_line_without_end():
    with server(says(b"HTTP/1.1 200 " + b"x" * 5000)) as port:
        assert ask(question(port, HttpProbe())).verdict is FAIL


def _request_of(probe: HttpProbe) -> bytes:
    requests: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        requests.append(connection.recv(4096))
        connection.sendall(OK)

    with server(talk) as port:
        ask(question(port, probe))
    return requests[0].replace(str(port).encode(), b"PORT")


def test_http_asks_for_the_path_at_the_address():
    assert _request_of(HttpProbe(path="/health?full=1")) == (
        b"GET /health?full=1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
        b"User-Agent: shoal\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )


def test_http_asks_for_the_configured_host():
    assert b"\r\nHost: www.example.com\r\n" in _request_of(HttpProbe(host="www.example.com"))


def test_http_cannot_be_made_to_send_another_header():
    request = _request_of(HttpProbe(path="/a b\r\nX: 1", host="h\r\nY: 2"))
    assert request.startswith(b"GET /a%20b%0D%0AX:%201 HTTP/1.1\r\nHost: h%0D%0AY:%202\r\n")


_SCRAPS = [
    b"HTTP/1.1 ",
    b"HTTP/1.",
    b"200",
    b"100 Go on",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"X: y",
    b" ",
    b"junk",
]


@given(st.lists(st.sampled_from(_SCRAPS), max_size=12).map(b"".join), st.integers(0, 80))
def test_http_judges_any_answer_the_same_however_it_is_cut(answer: bytes, cut: int):
    assert _judged(answer) == _judged(answer[:cut], answer[cut:])


def _judged(*pieces: bytes) -> Outcome | None:
    attempt = prepare(question(80, HttpProbe()))()
    assert isinstance(attempt, http.HttpAttempt)
    for piece in pieces:
        attempt._answer += piece
        outcome = attempt._judge()
        if outcome is not None:
            return Outcome(outcome.verdict, "")  # junk is told by what of it had come
    return None


# HTTPS


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"), "www.example.com")


@pytest.fixture
def context(signed: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed)
    return context


def test_https_passes_without_verifying(context: ssl.SSLContext):
    with server(says(OK), context=context) as port:
        assert ask(question(port, HttpProbe(tls=True))) == ok("HTTP 200")


def test_https_judges_the_status(context: ssl.SSLContext):
    with server(says(b"HTTP/1.1 500 Oops\r\n\r\n"), context=context) as port:
        outcome = ask(question(port, HttpProbe(tls=True)))
    assert outcome == bad("HTTP 500, expected 200-399")


def test_https_bears_an_answer_in_pieces(context: ssl.SSLContext):
    with server(says(OK[:9], OK[9:14], OK[14:]), context=context) as port:
        assert ask(question(port, HttpProbe(tls=True))) == ok("HTTP 200")


def test_https_sends_the_host_as_server_name(context: ssl.SSLContext):
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, _: names.append(name)
    with server(says(OK), context=context) as port:
        ask(question(port, HttpProbe(tls=True, host="www.example.com:8443")))
    assert names == ["www.example.com"]


def test_https_refuses_a_stranger_when_it_verifies(context: ssl.SSLContext):
    with server(says(OK), context=context) as port:
        outcome = ask(question(port, HttpProbe(tls=True, verify=True, host="www.example.com")))
    assert outcome == bad("TLS: certificate refused: self-signed certificate")


@pytest.mark.parametrize(
    ("host", "outcome"),
    [
        ("www.example.com", ok("HTTP 200")),
        ("", ok("HTTP 200")),
        (
            "other.example.com",
            bad(
                "TLS: certificate refused: "
                "Hostname mismatch, certificate is not valid for 'other.example.com'.",
            ),
        ),
    ],
)
def test_https_verifies_name_and_chain(
    context: ssl.SSLContext, signed: Path, monkeypatch: pytest.MonkeyPatch, host: str, outcome: Outcome
):
    monkeypatch.setenv("SSL_CERT_FILE", f"{signed}.crt")
    http._context.cache_clear()
    try:
        with server(says(OK), context=context) as port:
            assert ask(question(port, HttpProbe(tls=True, verify=True, host=host))) == outcome
    finally:
        http._context.cache_clear()


def test_https_fails_when_the_server_talks_plain_http():
    with server(says(OK)) as port:
        outcome = ask(question(port, HttpProbe(tls=True)))
    assert outcome.verdict is FAIL
    assert outcome.reason.startswith("TLS: ")


def test_https_fails_when_the_handshake_does_not_come_in_time():
    with server(waits) as port:
        outcome = ask(question(port, HttpProbe(tls=True), timeout=0.2))
    assert outcome == bad("no TLS handshake within 0.2 s")


def test_https_fails_when_the_server_closes_in_the_handshake():
    with server(says(b"")) as port:
        outcome = ask(question(port, HttpProbe(tls=True)))
    assert outcome == bad("TLS: connection closed, no TLS handshake")


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


def _alive(pid_file: Path) -> bool:
    """Whether the process whose id is in the file runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path):
    engine = Engine()
    child, parent = tmp_path / "child", tmp_path / "parent"
    script = f"echo $$ > {parent}; sleep 60 & echo $! > {child}; trap '' TERM; wait"
    outcome = run("/bin/sh", "-c", script, timeout=0.3, engine=engine)
    assert outcome == bad("not finished within 0.3 s")
    wait_until(lambda: not _alive(parent) and not _alive(child))
    engine.close()


def test_what_a_program_leaves_running_is_killed_when_it_ends(tmp_path: Path):
    child = tmp_path / "child"
    assert run("/bin/sh", "-c", f"sleep 60 & echo $! > {child}; exit 0").verdict is PASS
    wait_until(lambda: not _alive(child))


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
