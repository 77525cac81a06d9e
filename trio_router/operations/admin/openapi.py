"""The OpenAPI 3.1 document, generated from the table of routes, the models of bodies and the rows of `/status`."""

from __future__ import annotations

import re
import typing
from typing import Any, Final

from pydantic import TypeAdapter

from trio_router._version import __version__
from trio_router.operations.admin.problems import MEDIA_TYPE
from trio_router.operations.admin.routes import PREFIX, ROUTES, Route
from trio_router.operations.status import ReplicaRow, SessionRow

_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
    "required": ["title", "status", "detail"],
}
_WHY: Final = {
    400: "The body is not JSON.",
    401: "No token, or one that is not known.",
    403: "A viewer's token cannot order anything.",
    404: "There is none of this name.",
    409: "It does not fit what is there now.",
    422: "A field is wrong; `errors` says which.",
}


def openapi_document() -> dict[str, Any]:
    """The whole document."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM, "Replica": _schema(ReplicaRow), "Session": _schema(SessionRow)}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        if route.body is not None:
            schemas[route.body.__name__] = route.body.model_json_schema()
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    document = Route("GET", "/openapi.json", "This document", lambda _: None)
    paths[f"{PREFIX}/openapi.json"] = {"get": _operation(document)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "trio_router admin API", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{re.sub('[^a-z]+', '_', route.path).rstrip('_')}",
        "x-role": "operator" if route.orders else "viewer",
        "responses": {str(route.status): _answer(route.gives)},
    }
    for name in re.findall(r"\{(\w+)\}", route.path):
        found["parameters"] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]
    if route.body is not None:
        content = {"application/json": {"schema": _ref(route.body.__name__)}}
        found["requestBody"] = {"content": content}
    usual = (400, 401, 403) if route.body is not None else (401, 403)
    for status in sorted({*usual, *route.problems}):
        content = {MEDIA_TYPE: {"schema": _ref("Problem")}}
        found["responses"][str(status)] = {"description": _WHY[status], "content": content}
    return found


def _answer(gives: str) -> dict[str, Any]:
    if gives == "events":
        return {"description": "A stream that does not end.", "content": {"text/event-stream": {}}}
    schema: dict[str, Any] = {
        "replica": _ref("Replica"),
        "replicas": _listed("replicas", _ref("Replica")),
        "sessions": _listed("sessions", _ref("Session")),
        "queue": _listed("queue", {"type": "object"}),
    }.get(gives, {"type": "object"})
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _listed(key: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: {"type": "array", "items": item}}, "required": [key]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schema(hint: Any) -> dict[str, Any]:
    """Of a row. pydantic reads `typing.TypedDict` only from Python 3.12 on."""
    if typing.is_typeddict(hint):
        keys = {name: _schema(inner) for name, inner in typing.get_type_hints(hint).items()}
        return {"type": "object", "properties": keys, "required": list(keys)}
    if typing.get_origin(hint) is list:
        return {"type": "array", "items": _schema(typing.get_args(hint)[0])}
    return TypeAdapter(hint).json_schema()
