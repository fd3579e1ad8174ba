"""The control API: JSON over HTTP on a Unix socket, a thin layer over what ``lvsd`` shows and does.

GET  /v1/status                            this router at a glance
GET  /v1/servers                           virtual servers, real servers, health, counters
GET  /v1/connections?limit=                some of the connections held
GET  /v1/templates?limit=                  some of the persistence templates in force
GET  /v1/events?after=&limit=&wait=        the journal; waits up to ``wait`` seconds for news
POST /v1/failover {"to": "lb2"}            hand the floating addresses over (to any peer when ``to`` is empty)
POST /v1/drain {"virtual_server", "real_server", "state", "deadline", "cut"}
                                           let a real server drain, or put it into maintenance
POST /v1/undrain {"virtual_server", "real_server"}
                                           let it have new connections again
POST /v1/reload                            put the configuration file in force

An error is ``{"problem", "where", "fix"}`` with the HTTP status of its class. Unknown fields are errors.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shoal.errors import ConfigError, ConfigErrors, ShoalError
from shoal.lvsd import view
from shoal.lvsd.orders import DrainOrder, DrainView, UndrainOrder

LARGEST_BODY = 64 * 1024
LONGEST_WAIT = 60


class View(Protocol):
    """What the API needs of ``lvsd``."""

    async def status(self) -> view.StatusView:
        """This router at a glance."""

    async def servers(self) -> view.ServersView:
        """Every virtual server."""

    async def connections(self, *, limit: int) -> view.ConnectionsView:
        """Some of the connections held."""

    async def templates(self, *, limit: int) -> view.TemplatesView:
        """Some of the persistence templates in force."""

    async def events(self, *, after: int | None, limit: int, wait: float) -> view.EventsView:
        """Journal entries, waiting for news."""

    async def failover(self, *, to: str) -> view.FailoverView:
        """Begin a hand-over."""

    async def drain(self, order: DrainOrder) -> DrainView:
        """Let a real server drain."""

    async def undrain(self, order: UndrainOrder) -> DrainView:
        """Let it have new connections again."""

    async def reload(self) -> view.ReloadView:
        """Put the configuration file in force."""


class ErrorView(msgspec.Struct, frozen=True):
    """What went wrong, where, and how to put it right; ``errors`` are the single ones of a file."""

    problem: str
    where: str
    fix: str
    errors: tuple["ErrorView", ...] = ()


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No field at all."""


class ConnectionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most how many connections or templates."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After which entry (without: the latest), at most how many, and seconds to wait for the first."""

    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    wait: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_WAIT)] = 0.0


class FailoverBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The router to hand over to; empty: any peer."""

    to: str = ""


Fields = TypeVar("Fields", bound=msgspec.Struct)
Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(lvsd: View) -> Starlette:
    """The API over one ``lvsd``."""
    routes = [Route(f"/v1/{name}", endpoint, methods=["GET"]) for name, endpoint in _reads(lvsd).items()]
    routes += [Route(f"/v1/{name}", endpoint, methods=["POST"]) for name, endpoint in _orders(lvsd).items()]
    return Starlette(routes=routes, exception_handlers={ShoalError: _refused, HTTPException: _not_served})


def _reads(lvsd: View) -> dict[str, Endpoint]:
    """What can be asked."""

    async def status(request: Request) -> Response:
        _query(request, Nothing)
        return _json(await lvsd.status())

    async def servers(request: Request) -> Response:
        _query(request, Nothing)
        return _json(await lvsd.servers())

    async def connections(request: Request) -> Response:
        query = _query(request, ConnectionsQuery)
        return _json(await lvsd.connections(limit=query.limit))

    async def templates(request: Request) -> Response:
        query = _query(request, ConnectionsQuery)
        return _json(await lvsd.templates(limit=query.limit))

    async def events(request: Request) -> Response:
        query = _query(request, EventsQuery)
        return _json(await lvsd.events(after=query.after, limit=query.limit, wait=query.wait))

    return {each.__name__: each for each in (status, servers, connections, templates, events)}


def _orders(lvsd: View) -> dict[str, Endpoint]:
    """What can be told to be done."""

    async def failover(request: Request) -> Response:
        _query(request, Nothing)
        body = await _body(request, FailoverBody)
        return _json(await lvsd.failover(to=body.to))

    async def drain(request: Request) -> Response:
        _query(request, Nothing)
        return _json(await lvsd.drain(await _body(request, DrainOrder)))

    async def undrain(request: Request) -> Response:
        _query(request, Nothing)
        return _json(await lvsd.undrain(await _body(request, UndrainOrder)))

    async def reload(request: Request) -> Response:
        _query(request, Nothing)
        await _body(request, Nothing)
        return _json(await lvsd.reload())

    return {each.__name__: each for each in (failover, drain, undrain, reload)}


def _json(answer: msgspec.Struct, *, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status_code=status_code, media_type="application/json")


def error_view(error: ShoalError) -> ErrorView:
    """An error as the API tells it."""
    single = error.errors if isinstance(error, ConfigErrors) else ()
    return ErrorView(error.problem, error.where, error.fix, tuple(error_view(each) for each in single))


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ShoalError)
    return _json(error_view(error), status_code=error.http_status)


async def _not_served(request: Request, error: Exception) -> Response:
    """A path or a method that the API does not have, or a body that is too large."""
    assert isinstance(error, HTTPException)
    answer = _json(
        ErrorView(
            problem=str(error.detail), where=f"{request.method} {request.url.path}", fix="see `shoal --help`"
        ),
        status_code=error.status_code,
    )
    answer.headers.update(error.headers or {})
    return answer


def _query(request: Request, kind: type[Fields]) -> Fields:
    pairs = request.query_params.multi_items()
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ConfigError(problem="a field is given twice", where="query", fix="give each field once")
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind, where="query") from error


async def _body(request: Request, kind: type[Fields]) -> Fields:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes")
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise _invalid(error, kind, where="body") from error


def _invalid(error: msgspec.DecodeError, kind: type[Any], *, where: str) -> ConfigError:
    known = ", ".join(field.name for field in msgspec.structs.fields(kind)) or "none"
    return ConfigError(problem=str(error), where=where, fix=f"fields: {known}")
