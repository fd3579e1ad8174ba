"""Probes of real servers that have IPv6 addresses, on loopback."""

import socket
import ssl
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from shoal.model import HttpProbe, ProgramProbe, Protocol, SendExpectProbe
from shoal.nanny.probes import http
from support.health_checks import ask, bad, certificate, closed_port, ok, question, says, server, udp_server

HERE = "::1"
OK = b"HTTP/1.1 200 OK\r\n\r\n"


def test_tcp_passes_when_the_connection_is_accepted():
    with server(says(b""), address=HERE) as port:
        assert ask(question(port, address=HERE)) == ok("connected")


def test_tcp_fails_when_nobody_listens():
    assert ask(question(closed_port(HERE), address=HERE)) == bad("connection refused")


@pytest.mark.parametrize(
    ("host", "header"), [("", b"Host: [::1]:PORT\r\n"), ("[2001:db8::10]", b"Host: [2001:db8::10]\r\n")]
)
def test_http_writes_the_address_in_brackets_in_its_host_header(host: str, header: bytes):
    requests: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        requests.append(connection.recv(4096))
        connection.sendall(OK)

    with server(talk, address=HERE) as port:
        assert ask(question(port, HttpProbe(host=host), address=HERE)) == ok("HTTP 200")
    assert b"\r\n" + header in requests[0].replace(f"]:{port}".encode(), b"]:PORT")


@pytest.mark.parametrize(
    ("port", "tls", "host"),
    [
        (80, False, "[2001:db8::10]"),
        (443, True, "[2001:db8::10]"),
        (443, False, "[2001:db8::10]:443"),
        (80, True, "[2001:db8::10]:80"),
        (8080, False, "[2001:db8::10]:8080"),
    ],
)
def test_the_port_of_the_scheme_itself_is_left_out(port: int, tls: bool, host: str):
    assert http._authority(IPv6Address("2001:db8::10"), port=port, tls=tls) == host


def test_https_verifies_the_address_that_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    signed = certificate(tmp_path, "www.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed)
    trusting = ssl.create_default_context(cafile=str(signed))
    monkeypatch.setattr(http, "_context", lambda verify: trusting)
    with server(says(OK), address=HERE, context=context) as port:
        asked = question(port, HttpProbe(tls=True, verify=True), address=HERE)
        assert ask(asked) == ok("HTTP 200")
    with server(says(OK), address=HERE, context=context) as port:
        probe = HttpProbe(tls=True, verify=True, host="[2001:db8::10]")
        outcome = ask(question(port, probe, address=HERE))
    assert outcome.reason.startswith("TLS: certificate refused: IP address mismatch")


def test_send_expect_talks_by_tcp():
    with server(says(b"+PONG\r\n"), address=HERE) as port:
        probe = SendExpectProbe(send=b"PING\r\n", expect=b"+PONG", regex="")
        assert ask(question(port, probe, address=HERE)) == ok('answered "+PONG\\r\\n"')


def test_send_expect_talks_by_udp():
    with udp_server(b"pong", address=HERE) as (port, received):
        probe = SendExpectProbe(send=b"ping", expect=b"pong", regex="")
        asked = question(port, probe, address=HERE, protocol=Protocol.UDP)
        assert ask(asked) == ok('answered "pong"')
    assert received == [b"ping"]


def test_a_program_gets_the_address_without_brackets():
    probe = ProgramProbe(command=("echo", "%h", "%p"))
    assert ask(question(8080, probe, address=HERE)) == ok("::1 8080")


def test_what_is_asked_is_named_with_brackets():
    asked = replace(question(8080), address=IPv6Address("2001:db8:1::21"))
    assert asked.identity == "[2001:db8:1::21]:8080/tcp tcp"
