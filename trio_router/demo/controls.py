"""HTTP endpoints that kill and revive the demo's own replicas. They belong to the demo's page, never to a router.

A request must come from the page itself. Three checks, because the demo listens on a developer's own machine:
`Host` is a loopback name (a foreign name that resolves to 127.0.0.1 is refused), `Origin` is that host (a form or a
script of another site is refused), and `X-Demo-Token` is the token of this run, which only the page contains.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quart import Blueprint, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_router.demo.killable import KillableReplica

TOKEN_HEADER = "X-Demo-Token"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Answer = tuple[dict[str, Any], int]


@dataclass(frozen=True)
class ReplicaControls:
    """The endpoints over `replicas`, by name. `token` is new in each run."""

    replicas: Mapping[str, KillableReplica] = field(default_factory=dict)
    token: str = field(default_factory=secrets.token_urlsafe, repr=False)

    def register(self, blueprint: Blueprint) -> None:
        """Add `GET /demo/replicas` and `POST /demo/replicas/<name>/kill` and `/revive` to `blueprint`."""
        blueprint.add_url_rule("/demo/replicas", "replicas", self._list)
        blueprint.add_url_rule("/demo/replicas/<name>/kill", "kill", self._kill, methods=["POST"])
        blueprint.add_url_rule("/demo/replicas/<name>/revive", "revive", self._revive, methods=["POST"])

    async def _list(self) -> dict[str, Any]:
        return {"replicas": [{"name": replica.name, "alive": replica.alive} for replica in self.replicas.values()]}

    async def _kill(self, name: str) -> Answer:
        refused = self._refused(name)
        if refused is None:
            self.replicas[name].kill()
        return refused or ({"name": name, "alive": False}, 200)

    async def _revive(self, name: str) -> Answer:
        refused = self._refused(name)
        if refused is not None:
            return refused
        try:
            await self.replicas[name].revive()
        except OSError as error:
            return {"error": "conflict", "message": f"replica {name} cannot listen again: {error}"}, 409
        return {"name": name, "alive": True}, 200

    def _refused(self, name: str) -> Answer | None:
        """Why this request is not obeyed; None when it is."""
        headers = request.headers
        host = headers.get("Host", "")
        if not _is_loopback(host):
            return _forbidden(f"Host {host!r} is not this machine; open the page as http://127.0.0.1:PORT/")
        if headers.get("Origin") not in {f"http://{host}", f"https://{host}"}:
            return _forbidden("Origin is not the demo's own page")
        if not secrets.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self.token.encode()):
            return _forbidden(f"{TOKEN_HEADER} is not this run's; load the page again")
        if name not in self.replicas:
            return {"error": "not found", "message": f"no replica {name!r}"}, 404
        return None


def _is_loopback(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").hostname in _LOOPBACK
    except ValueError:  # brackets without an address between them
        return False


def _forbidden(message: str) -> Answer:
    return {"error": "forbidden", "message": message}, 403
