"""The demo's page as a Quart blueprint: `/` and `/demo/static/...`, from memory, nothing from elsewhere.

The page talks to its own origin only: the WebSocket at `/v1/stream`, the JSON at `/status`, and the demo's own
controls at `/demo/replicas`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from quart import Blueprint, Response

from trio_router.demo.controls import ReplicaControls

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}
_STATIC: Final = files("trio_router.demo") / "static"
# Small files: read once, so that no request touches the disk (and none needs a thread for it).
_ASSETS: Final = {
    entry.name: entry.read_bytes() for entry in _STATIC.iterdir() if entry.name.rpartition(".")[2] in _TYPES
}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def demo_page(controls: ReplicaControls) -> Blueprint:
    """The page, with buttons for the replicas of `controls`. Each demo has a blueprint of its own."""
    blueprint = Blueprint("demo_page", __name__)
    index = _ASSETS["index.html"].replace(b"{{token}}", controls.token.encode())

    async def page() -> Response:
        return _answer("index.html", index)

    async def static_file(name: str) -> Response:
        if name not in _ASSETS or name == "index.html":
            return Response("not found\n", 404, content_type="text/plain")
        return _answer(name, _ASSETS[name])

    blueprint.add_url_rule("/", "index", page)
    blueprint.add_url_rule("/demo/static/<name>", "static_file", static_file)
    controls.register(blueprint)
    return blueprint


def _answer(name: str, body: bytes) -> Response:
    return Response(body, 200, _HEADERS, content_type=_TYPES[name.rpartition(".")[2]])
