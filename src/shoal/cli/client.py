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
        self._http = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://shoal")

    def get(self, path: str, **query: str | int | float) -> Any:
        """The answer to a GET. ``wait`` in the query prolongs the time that the answer may take."""
        return self._request("GET", path, params=query, timeout=TIMEOUT + float(query.get("wait", 0)))

    def post(self, path: str, **body: str) -> Any:
        """The answer to a POST."""
        return self._request("POST", path, json=body, timeout=TIMEOUT)

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, f"/v1/{path}", **arguments)
        except httpx.TimeoutException as error:
            raise _unreachable(self._socket, "lvsd does not answer") from error
        except httpx.TransportError as error:
            raise _unreachable(self._socket, _reason(self._socket)) from error
        if answer.is_success:
            return answer.json()
        raise _error(answer)


def _reason(socket: Path) -> str:
    try:
        socket.stat()
    except PermissionError:
        return "this user may not talk to Shoal"
    except FileNotFoundError:
        return "Shoal is not running here"
    return "lvsd is not answering"


def _unreachable(socket: Path, problem: str) -> UnavailableError:
    return UnavailableError(
        problem=problem, where=str(socket), fix="start it with `shoal run`, or name its --run-dir; be root"
    )


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
