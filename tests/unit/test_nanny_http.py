"""HTTP and HTTPS probes against real servers on loopback."""

import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.model import HttpProbe
from shoal.nanny.machine import Outcome, Verdict
from shoal.nanny.probes import http, prepare
from support.health_checks import ask, bad, certificate, ok, question, says, server, waits

FAIL = Verdict.FAIL
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


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
