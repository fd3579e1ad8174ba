"""The control API: what it answers and what it refuses."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from shoal.api.app import create_app
from shoal.errors import ConfigError, ConfigErrors
from support.snapshots import ShownLvsd


def ask(method: str, path: str, *, lvsd: ShownLvsd | None = None, **arguments: Any) -> httpx.Response:
    """One request to the API in memory."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(lvsd or ShownLvsd()))
        async with httpx.AsyncClient(transport=transport, base_url="http://shoal") as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(request())


def test_status_is_one_json_object() -> None:
    answer = ask("GET", "/v1/status")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert list(told) == [
        "router",
        "cluster",
        "state",
        "epoch",
        "since",
        "links",
        "addresses",
        "peers",
        "heartbeats_rejected",
        "config",
        "dataplane",
        "children",
        "alarms",
    ]
    assert told["dataplane"]["attachments"] == [
        {"interface": "eth0", "hook": "tc", "reason": "a veth has no native XDP"}
    ]
    assert told["children"] == {"pulse": True, "nanny": True}


def test_servers_lists_real_servers_under_their_virtual_server() -> None:
    (www,) = ask("GET", "/v1/servers").json()["virtual_servers"]
    assert www["listeners"] == ["192.0.2.10:80/tcp"]
    assert [each["health"] for each in www["real_servers"]] == ["up", "down"]


def test_connections_are_limited_as_asked() -> None:
    lvsd = ShownLvsd()
    told = ask("GET", "/v1/connections?limit=5", lvsd=lvsd).json()
    assert lvsd.asked == ["connections limit=5"]
    assert told["connections"] == [
        {
            "protocol": "tcp",
            "client": "198.51.100.7:40000",
            "virtual": "192.0.2.10:80",
            "real": "10.0.1.21:80",
            "state": "established",
            "expires_in": 899.5,
            "virtual_server": "www",
        }
    ]


def test_templates_are_limited_as_asked() -> None:
    lvsd = ShownLvsd()
    told = ask("GET", "/v1/templates?limit=5", lvsd=lvsd).json()
    assert lvsd.asked == ["templates limit=5"]
    assert told["templates"] == [
        {
            "virtual_server": "www",
            "network": "198.51.100.0/24",
            "real": "10.0.1.21:80",
            "expires_in": 299.5,
            "connections": 1,
        }
    ]


def test_events_are_read_from_where_the_reader_stopped() -> None:
    lvsd = ShownLvsd()
    told = ask("GET", "/v1/events?after=41&limit=10&wait=2.5", lvsd=lvsd).json()
    assert lvsd.asked == ["events after=41 limit=10 wait=2.5"]
    assert ([each["seq"] for each in told["events"]], told["next"]) == ([42], 42)


def test_a_failover_names_the_router_that_takes_over() -> None:
    lvsd = ShownLvsd()
    assert ask("POST", "/v1/failover", lvsd=lvsd, json={"to": "lb2"}).json() == {"accepted": True}
    assert ask("POST", "/v1/failover", lvsd=lvsd).json() == {"accepted": True}
    assert lvsd.asked == ["failover to='lb2'", "failover to=''"]


def test_a_refusal_says_what_where_and_how_to_put_it_right() -> None:
    answer = ask("POST", "/v1/failover", json={"to": "lb9"})
    assert answer.status_code == 404
    assert answer.json() == {
        "problem": "there is no router 'lb9'",
        "where": "to",
        "fix": "one of: lb1, lb2",
        "errors": [],
    }


def test_a_reload_of_a_wrong_file_tells_every_error_of_it() -> None:
    class Wrong(ShownLvsd):
        async def reload(self) -> Any:
            each = [ConfigError(problem=f"wrong {n}", where=f"shoal.toml:{n}", fix="mend it") for n in (1, 2)]
            raise ConfigErrors(each)

    answer = ask("POST", "/v1/reload", lvsd=Wrong())
    assert answer.status_code == 422
    assert [(each["where"], each["problem"]) for each in answer.json()["errors"]] == [
        ("shoal.toml:1", "wrong 1"),
        ("shoal.toml:2", "wrong 2"),
    ]


@pytest.mark.parametrize(
    ("path", "problem", "fix"),
    [
        ("/v1/status?verbose=1", "Object contains unknown field `verbose`", "fields: none"),
        ("/v1/events?since=3", "Object contains unknown field `since`", "fields: after, limit, wait"),
        ("/v1/events?limit=0", "Expected `int` >= 1 - at `$.limit`", "fields: after, limit, wait"),
        ("/v1/events?wait=61", "Expected `float` <= 60.0 - at `$.wait`", "fields: after, limit, wait"),
        ("/v1/events?after=-1", "Expected `int` >= 0 - at `$.after`", "fields: after, limit, wait"),
        ("/v1/connections?limit=x", "Expected `int`, got `str` - at `$.limit`", "fields: limit"),
        ("/v1/connections?limit=1&limit=2", "a field is given twice", "give each field once"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(path: str, problem: str, fix: str) -> None:
    answer = ask("GET", path)
    assert answer.status_code == 422
    assert answer.json() == {"problem": problem, "where": "query", "fix": fix, "errors": []}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"too": "lb2"}', "Object contains unknown field `too`"),
        (b'{"to": 2}', "Expected `str`, got `int` - at `$.to`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{", "Input data was truncated"),
        (b"\xff", "JSON is malformed: invalid character (byte 0)"),
    ],
)
def test_a_body_that_is_not_understood_is_refused_and_nothing_is_done(body: bytes, problem: str) -> None:
    lvsd = ShownLvsd()
    answer = ask("POST", "/v1/failover", lvsd=lvsd, content=body)
    assert answer.status_code == 422
    assert answer.json()["problem"] == problem
    assert lvsd.asked == []


def test_a_body_for_reload_is_refused() -> None:
    lvsd = ShownLvsd()
    assert ask("POST", "/v1/reload", lvsd=lvsd, json={"force": True}).status_code == 422
    assert lvsd.asked == []


def test_a_body_that_is_too_large_is_refused() -> None:
    answer = ask("POST", "/v1/failover", content=json.dumps({"to": "x" * 65536}).encode())
    assert answer.status_code == 413
    assert answer.json()["problem"] == "the body is larger than 65536 bytes"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/status", 405),
        ("GET", "/v1/failover", 405),
        ("GET", "/v2/status", 404),
        ("GET", "/", 404),
    ],
)
def test_what_the_api_does_not_have_is_refused_as_json(method: str, path: str, status: int) -> None:
    answer = ask(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"problem", "where", "fix", "errors"}
    assert answer.json()["where"] == f"{method} {path}"
