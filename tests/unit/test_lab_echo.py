"""The real servers' echo, on loopback."""

import socket
from collections.abc import Iterator

import pytest

from shoal.lab.echo import Echo


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo("rs1", address="127.0.0.1", port=0)
    yield server
    server.close()


def port(echo: Echo) -> int:
    number: int = echo.udp.getsockname()[1]
    return number


def connected(echo: Echo) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port(echo)), timeout=2)
    echo.serve_once(2)
    return client


def test_a_datagram_comes_back_with_the_servers_name(echo: Echo):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.sendto(b"\x00\x01", ("127.0.0.1", port(echo)))
        echo.serve_once(2)
        assert client.recv(100) == b"rs1 \x00\x01"


def test_a_line_comes_back_with_the_servers_name(echo: Echo):
    with connected(echo) as client:
        client.sendall(b"hello\n")
        echo.serve_once(2)
        assert client.recv(100) == b"rs1 hello\n"


def test_a_line_in_two_pieces_is_answered_once_it_is_whole(echo: Echo):
    with connected(echo) as client:
        client.sendall(b"he")
        echo.serve_once(2)
        client.sendall(b"llo\nnext\nre")
        echo.serve_once(2)
        assert client.recv(100) == b"rs1 hello\nrs1 next\n"


def test_a_client_that_leaves_does_not_disturb_the_others(echo: Echo):
    gone = connected(echo)
    with connected(echo) as client:
        gone.close()
        echo.serve_once(2)
        client.sendall(b"still here\n")
        echo.serve_once(2)
        assert client.recv(100) == b"rs1 still here\n"
