"""The operators' pages: /status, /health, /readyz, and JSON errors. What they show comes from `View`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import trio
from quart import Blueprint, Response, current_app
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from trio_router.operations.status import StatusBody

#: `/status` is rendered at most this often, in seconds: with hundreds of sessions it takes milliseconds, which a client
#: that polls in a loop would take from the sessions.
STATUS_SECONDS: Final = 0.25

Answer = tuple[dict[str, Any], int]


class View(Protocol):
    """What the pages need of a router, running or not."""

    def status(self) -> StatusBody:
        """The body of `/status`."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Whether a new client can be served; if not, the reason."""
        ...


@dataclass(slots=True)
class _Pages:
    view: View
    written: str = ""
    written_at: float = -STATUS_SECONDS

    async def status(self) -> Response:
        now = trio.current_time()
        if not self.written or not 0 <= now - self.written_at < STATUS_SECONDS:
            self.written = current_app.json.dumps(self.view.status(), separators=(",", ":")) + "\n"
            self.written_at = now
        return current_app.response_class(self.written, mimetype="application/json")

    async def health(self) -> dict[str, Any]:
        return {"status": "ok"}

    async def ready(self) -> Answer:
        ready, reason = self.view.ready()
        return ({"status": "ready"}, 200) if ready else ({"status": "unavailable", "reason": reason}, 503)

    async def monitor(self) -> dict[str, Any]:
        """The page that Dreamverse's front end polls."""
        return {
            "replicas": [
                {
                    "url": replica["url"],
                    "healthy": replica["status"] == "healthy",
                    "active_sessions": replica["open_sessions"],
                    "pending_sessions": 0,
                    "max_available_sessions": replica["capacity"],
                    "prompt_provider_success_counts": {},
                }
                for replica in self.view.status()["replicas"]
            ]
        }


async def _error(exc: Exception) -> Answer:
    """Every HTTP error as JSON, so that scripts can parse it."""
    assert isinstance(exc, HTTPException)
    return {"error": (exc.name or "error").lower(), "message": exc.description or ""}, exc.code or 500


def make_app(view: View, *, blueprints: Sequence[Blueprint] = ()) -> QuartTrio:
    """The app over ``view``. ``blueprints`` are an embedding program's own pages."""
    app = QuartTrio("trio_router")
    pages = _Pages(view)
    for path, page in (
        ("/status", pages.status),
        ("/health", pages.health),
        ("/healthz", pages.health),
        ("/readyz", pages.ready),
        ("/router/replicas/sessions", pages.monitor),
    ):
        app.add_url_rule(path, path.strip("/"), page)
    app.register_error_handler(HTTPException, _error)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app
