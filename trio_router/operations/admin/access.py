"""Who asks, and what they may: bearer tokens (RFC 6750), compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from trio_router.core.config.admin import AdminConfig, Role, is_loopback
from trio_router.operations.admin.problems import ApiProblem

_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="trio_router"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``name`` is the token's, or ``local`` where none is needed."""

    name: str
    role: Role


class Access:
    """Tells callers apart. Without tokens everybody is an operator: only this machine can ask then (`AdminConfig`)."""

    def __init__(self, config: AdminConfig) -> None:
        self._tokens = config.tokens

    def reconfigure(self, config: AdminConfig) -> None:
        """These tokens, and no others, count from now on."""
        self._tokens = config.tokens

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who sent a request with these headers (their names in lower case).

        Raises:
            ApiProblem: 401 without a token that is known; 403 for a page of another site in a browser on this machine.
        """
        if not self._tokens:
            _no_foreign_page(headers)
            return Caller("local", "operator")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise ApiProblem(401, "send a token: Authorization: Bearer TOKEN", headers=_CHALLENGE)
        sent = given.strip().encode(errors="replace")
        found = None
        for token in self._tokens:  # all of them, so that the time says nothing of which one was nearly right
            if hmac.compare_digest(sent, (token.token or "").encode()):
                found = Caller(token.name, token.role)
        if found is None:
            raise ApiProblem(401, "this token is not known", headers=_CHALLENGE)
        return found


def _no_foreign_page(headers: Mapping[str, str]) -> None:
    """Where no token is asked for, a browser on this machine must not lend its user's place to some site's page.

    Such a page can send simple requests, which carry its ``Origin``, and can make its own name resolve to 127.0.0.1.
    """
    host = headers.get("host", "")
    name = urlsplit(f"//{host}").hostname or ""
    if name and not is_loopback(name):
        raise ApiProblem(403, f"without a token, ask for localhost, not {name}")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise ApiProblem(403, "without a token, pages of other sites may not ask")
