"""The demo's page as a Quart blueprint: `/` and `/demo/static/...`, from memory, nothing from elsewhere.

The page talks to its own origin only: the WebSocket at `/v1/stream` and the JSON at `/status`.
"""

from __future__ import annotations

from importlib.resources import files

from quart import Blueprint, Response

_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "status.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}
# Small files: read once, so that no request touches the disk (and none needs a thread for it).
_ASSETS = {name: (files("trio_router.demo") / "static" / name).read_bytes() for name in _TYPES}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
}

demo_page = Blueprint("demo_page", __name__)


@demo_page.get("/")
async def index() -> Response:
    """The page itself."""
    return _asset("index.html")


@demo_page.get("/demo/static/<name>")
async def static_file(name: str) -> Response:
    """The page's script and style; 404 for anything else."""
    return _asset(name) if name in _ASSETS else Response("not found\n", 404, content_type="text/plain")


def _asset(name: str) -> Response:
    return Response(_ASSETS[name], 200, _HEADERS, content_type=_TYPES[name])
