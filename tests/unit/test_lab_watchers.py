"""The watchers' parts that need no network of their own."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shoal.lab.connections import SILENCE_LIMIT, LineConnection
from shoal.lab.echo import Echo
from shoal.lab.probe import ANSWER_LIMIT, SOURCES, Prober
from shoal.lab.requests import get


def line_connection() -> tuple[LineConnection, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(2)
    return LineConnection(ours, first=10.0), theirs


def tick(connection: LineConnection, now: float, *, asking: bool = True) -> None:
    connection.tick(now, interval=0.05, asking=asking)


def test_a_connection_asks_when_its_time_has_come():
    connection, peer = line_connection()
    with connection.sock, peer:
        tick(connection, 9.9)
        assert connection.asked is None
        tick(connection, 10.0)
        assert peer.recv(100) == b"0\n"


def test_an_answered_line_counts_and_its_wait_is_kept():
    connection, peer = line_connection()
    with connection.sock, peer:
        tick(connection, 10.0)
        peer.sendall(b"rs1 0\n")
        connection.receive(10.3)
        assert (connection.lines, round(connection.longest_wait, 6)) == (1, 0.3)
        assert connection.result()["broken"] == ""


def test_half_an_answer_is_not_an_answer():
    connection, peer = line_connection()
    with connection.sock, peer:
        tick(connection, 10.0)
        peer.sendall(b"rs1")
        connection.receive(10.1)
        assert connection.lines == 0


def test_a_connection_that_is_silent_for_too_long_is_broken():
    connection, peer = line_connection()
    with peer:
        tick(connection, 10.0)
        tick(connection, 10.0 + SILENCE_LIMIT + 0.01)
        assert connection.result()["broken"] == "no answer for 3 s"


def test_a_connection_that_the_other_end_closes_is_broken():
    connection, peer = line_connection()
    peer.close()
    connection.receive(11.0)
    assert connection.result() == {
        "broken": "closed by the other end",
        "broken_at": 11.0,
        "longest_wait": 0.0,
        "lines": 0,
    }


def test_nothing_is_asked_any_more_once_the_end_has_come():
    connection, peer = line_connection()
    with connection.sock, peer:
        tick(connection, 10.0, asking=False)
        assert connection.asked is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_probe_is_matched_to_its_answer(address: str):
    echo = Echo("rs2", address=address, port=0)
    prober = Prober(address, echo.udp.getsockname()[1])
    for _ in range(SOURCES + 1):
        prober.send()
    echo.serve_once(2)
    for sock in prober.sockets:
        prober.receive(sock)
    rows: list[list[Any]] = prober.samples
    prober.close()
    echo.close()
    assert [row[2] for row in rows] == [*range(SOURCES), 0]
    assert {row[3] for row in rows} == {"rs2"}
    assert all(row[1] > row[0] for row in rows)
    assert prober.settled(rows[-1][0])


def test_a_probe_that_nobody_answers_stays_lost():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        prober = Prober("127.0.0.1", unused.getsockname()[1])
        prober.send()
        assert not prober.settled(prober.samples[0][0])
        assert prober.settled(prober.samples[0][0] + ANSWER_LIMIT + 0.01)
        prober.close()
    assert prober.samples[0][1] is None


def test_a_refused_request_says_so():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert get("127.0.0.1", unused.getsockname()[1]) == ("", "Connection refused")


def test_a_request_over_ipv6_names_its_host_in_brackets():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        server.settimeout(2)
        port = server.getsockname()[1]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(get, "::1", port)
            sock, _ = server.accept()
            with sock:
                question = sock.recv(1000)
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nreal server rs1\n")
            assert asked.result(2) == ("real server rs1", "")
    assert b"\r\nHost: [::1]\r\n" in question
