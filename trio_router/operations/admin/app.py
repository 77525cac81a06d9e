"""The admin API as an app: who asks is settled before anything else, every error is a problem document."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from quart import Request, Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from trio_router.operations.admin.access import Access
from trio_router.operations.admin.control import Control
from trio_router.operations.admin.feed import EventFeed
from trio_router.operations.admin.openapi import openapi_document
from trio_router.operations.admin.problems import MEDIA_TYPE, ApiProblem
from trio_router.operations.admin.routes import PREFIX, ROUTES, Call, Route
from trio_router.operations.logging import get_logger

log = get_logger("trio_router.operations.admin")

#: Largest body of a request, in bytes; a replica with a hundred presets has a few thousand.
BODY_BYTES: Final = 64 * 1024
#: For a body to come, once its head has.
BODY_SECONDS: Final = 10.0
_LOOKS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def make_admin_app(control: Control, access: Access, feed: EventFeed) -> QuartTrio:
    """The app. Serve it on an address of its own, never on the stream port."""
    app = QuartTrio("trio_router_admin")
    app.config.update(MAX_CONTENT_LENGTH=BODY_BYTES, BODY_TIMEOUT=BODY_SECONDS)
    document = json.dumps(openapi_document())

    async def openapi() -> Response:
        return Response(document, content_type="application/json")

    async def check_access() -> None:
        g.caller = access.caller({name.lower(): value for name, value in request.headers.items()})
        if g.caller.role != "operator" and request.method not in _LOOKS:
            raise ApiProblem(403, f"{g.caller.name!r} is a viewer; only an operator's token can order this")

    app.before_request(check_access)
    app.add_url_rule(f"{PREFIX}/openapi.json", "openapi", openapi)
    for route in ROUTES:
        # A replica may be called anything, a slash in it included.
        path = route.path.replace("{name}", "<path:name>" if route.path.startswith("/replicas") else "<name>")
        app.add_url_rule(
            PREFIX + path,
            f"{route.method} {route.path}".replace(".", ""),
            _view(route, control, feed),
            methods=[route.method],
        )
    app.register_error_handler(ApiProblem, _problem)
    app.register_error_handler(Exception, _any_error)
    return app


def _view(route: Route, control: Control, feed: EventFeed) -> Callable[..., Awaitable[Response]]:
    async def view(name: str = "") -> Response:
        if request.method == "HEAD" and route.gives == "events":
            return Response("", content_type="text/event-stream")
        body = route.read(await _data(request)) if route.body is not None else None
        found = await route.answer(Call(control, feed, g.caller, name, body))
        return found if isinstance(found, Response) else _json(found, route.status)

    return view


async def _data(request: Request) -> bytes:
    data: Any = await request.get_data(cache=False, as_text=False)
    return bytes(data)


def _json(body: Any, status: int, content_type: str = "application/json") -> Response:
    text = json.dumps(body, separators=(",", ":")) + "\n"
    return Response(text, status=status, content_type=content_type, headers={"cache-control": "no-store"})


async def _problem(problem: ApiProblem) -> Response:
    response = _json(problem.body(), problem.status, MEDIA_TYPE)
    response.headers.update(problem.headers)
    return response


async def _any_error(exc: Exception) -> Response:
    if isinstance(exc, HTTPException):
        allow = {name: value for name, value in exc.get_headers() if name.lower() == "allow"}
        return await _problem(ApiProblem(exc.code or 500, exc.description or "", headers=allow))
    log.exception("a call of the admin API crashed", method=request.method, path=request.path)
    return await _problem(ApiProblem(500, "the router's own fault; its log has the traceback"))
