"""The control API from the command line's side."""

from pathlib import Path
from typing import Any

import httpx

from shoal.errors import (
    ConfigError,
    ConfigErrors,
    ForbiddenError,
    NotFoundError,
    PeerError,
    ShoalError,
    UnavailableError,
)

TIMEOUT = 10.0  # s on top of what the request itself waits
_CLASSES: tuple[type[ShoalError], ...] = (
    PeerError,
    ConfigError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)


class Client:
    """Talks to ``lvsd`` at the other end of a Unix socket. An answer that is an error is raised as such."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def get(self, path: str, **query: str | int | float) -> Any:
        """The answer to a GET. ``wait`` in the query prolongs the time that the answer may take."""
        return self._request("GET", path, params=query, timeout=TIMEOUT + float(query.get("wait", 0)))

    def post(self, path: str, **body: str) -> Any:
        """The answer to a POST."""
        return self._request("POST", path, json=body, timeout=TIMEOUT)

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        _check_socket(self._socket)
        transport = httpx.HTTPTransport(uds=str(self._socket))
        try:
            with httpx.Client(transport=transport, base_url="http://shoal") as http:
                answer = http.request(method, f"/v1/{path}", **arguments)
        except httpx.TransportError as error:
            raise UnavailableError(
                problem="lvsd does not answer",
                where=str(self._socket),
                fix="see the log of `shoal run`, which starts it again when it dies",
            ) from error
        if answer.is_success:
            return answer.json()
        raise _error(answer)


def _check_socket(socket: Path) -> None:
    try:
        socket.stat()
    except FileNotFoundError as error:
        raise UnavailableError(
            problem="Shoal is not running here",
            where=str(socket),
            fix="start it with `shoal run`, or name the --run-dir that it was started with",
        ) from error
    except PermissionError as error:
        raise ForbiddenError(
            problem="this user may not talk to Shoal", where=str(socket), fix="be root: sudo shoal ..."
        ) from error


def _error(answer: httpx.Response) -> ShoalError:
    try:
        told = answer.json()
        text = {key: str(told[key]) for key in ("problem", "where", "fix")}
    except (ValueError, KeyError, TypeError):
        text = {"problem": f"status {answer.status_code} without an explanation", "where": "lvsd", "fix": ""}
        told = {}
    if told.get("errors"):
        return ConfigErrors(
            [ConfigError(problem=e["problem"], where=e["where"], fix=e["fix"]) for e in told["errors"]]
        )
    kind = next((each for each in _CLASSES if each.http_status == answer.status_code), ShoalError)
    return kind(**text)
