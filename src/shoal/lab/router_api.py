"""The lab's view of a router: its control API and its journal, through the same doors as anyone's."""

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shoal.ipc.messages import Record
from shoal.lab.evidence import JournalLine
from shoal.system.places import Places

_TIMEOUT = 1.0  # seconds; an answer takes a millisecond
_RELOAD_TIMEOUT = 6.0  # one more than lvsd itself waits


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix stream socket."""

    def __init__(self, path: Path, *, timeout: float = _TIMEOUT) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class RouterApi:
    """The router called ``name``, which keeps things at ``places``."""

    name: str
    places: Places

    def get(self, path: str) -> Any | None:
        """The answer to a GET, decoded; None while the router does not answer with success."""
        connection = _UnixConnection(self.places.api_socket)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            return json.loads(body) if response.status == http.HTTPStatus.OK else None
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return None
        finally:
            connection.close()

    def reload(self) -> str:
        """Have the configuration file put in force; what went wrong, or empty."""
        connection = _UnixConnection(self.places.api_socket, timeout=_RELOAD_TIMEOUT)
        try:
            connection.request("POST", "/v1/reload", body="{}")
            response = connection.getresponse()
            body = response.read().decode(errors="replace")
            return "" if response.status == http.HTTPStatus.OK else f"status {response.status}: {body}"
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()

    def events(self, *, after: int) -> list[dict[str, Any]]:
        """What the journal has after the entry of that number, as far as one answer holds it."""
        answer = self.get(f"/v1/events?after={after}&limit=1000")
        return list(answer["events"]) if answer else []

    def last_event(self) -> int:
        """The number of the journal's last entry; 0 while the router does not answer."""
        answer = self.get("/v1/events?limit=1")
        return int(answer["next"]) if answer else 0

    def state(self) -> str:
        """init, backup, active or fault; "gone" while the router does not answer."""
        status = self.get("/v1/status")
        return str(status["state"]) if status else "gone"

    def health(self) -> dict[tuple[str, str], str]:
        """Health of every real server, by (virtual server, real server)."""
        servers = self.get("/v1/servers")
        return {
            (virtual["name"], real["name"]): real["health"]
            for virtual in (servers["virtual_servers"] if servers else ())
            for real in virtual["real_servers"]
        }

    def journal(self) -> tuple[JournalLine, ...]:
        """The journal as the file has it, oldest first. A line that is being written is left out."""
        try:
            lines = self.places.journal.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        records = []
        for line in lines:
            try:
                records.append(JournalLine(self.name, msgspec.json.decode(line, type=_Entry).record))
            except msgspec.DecodeError:
                continue
        return tuple(records)


class _Entry(msgspec.Struct, frozen=True):
    """A journal line as lvsd writes it, as far as the lab reads it."""

    at: float
    source: str
    event: str
    cause: str = ""
    fields: dict[str, str | int | float | bool] = {}

    @property
    def record(self) -> Record:
        """The same as a Record."""
        return Record(at=self.at, source=self.source, event=self.event, cause=self.cause, fields=self.fields)
