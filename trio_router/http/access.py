"""The access check: an embedder's function that says who may begin a session. It is asked before anything is done for one.

```
async def check(request: AccessRequest) -> AccessDenied | None:
    if request.headers.get("authorization") != "Bearer secret":
        return AccessDenied(401, "no_token", [("WWW-Authenticate", "Bearer")])
    return None

Router(config, authorize=check)
```
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import trio

from trio_router.core.http.head import TOKEN, UNFIT, Headers, RequestHead
from trio_router.operations.logging import get_logger

log = get_logger("trio_router.http.access")

#: Who is not known, may not, asks too often; and: it cannot be said now (RFC 9110 section 15, RFC 6585 section 4).
STATUSES: Final = (401, 403, 429, 503)
_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class RequestHeaders(Mapping[str, str]):
    """A request's header fields. Names in any case; of several fields of one name, the first. Values are Latin-1."""

    def __init__(self, fields: Headers) -> None:
        self._fields = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields]

    def __getitem__(self, name: str) -> str:
        found = self.get_all(name)
        if not found:
            raise KeyError(name)
        return found[0]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._fields))

    def __len__(self) -> int:
        return len(dict(self._fields))

    def __repr__(self) -> str:
        return f"<RequestHeaders {', '.join(self)}>"  # the values may be secrets

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of that name, in their order."""
        return [value for key, value in self._fields if key == name.lower()]


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A client's correct upgrade request on a stream path.

    ``query`` is what stands behind the ``?``, as it came. ``client`` is the address that connected: a proxy's, if there is
    one in front. ``scheme`` is ``http`` or ``https``. ``subprotocols`` are what the client offers, in its order.
    """

    path: str
    query: str
    headers: RequestHeaders
    client: str
    scheme: str
    subprotocols: tuple[str, ...] = ()

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter, decoded."""
        values = parse_qs(self.query).get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class AccessDenied:
    """No, and what the client is answered. ``reason`` is a stable word, by which refusals are counted and logged.

    Raises:
        ValueError: for another status than 401, 403, 429 and 503, a reason that is no such word, or a header that cannot
            stand in an answer.
    """

    status: int = 403
    reason: str = "denied"
    headers: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r}: must be one of {', '.join(map(str, STATUSES))}")
        if not _REASON.fullmatch(self.reason):
            raise ValueError(f"reason {self.reason!r}: must be a word of a-z, 0-9 and _, of up to 64 characters")
        for name, value in self.headers:
            if not TOKEN.fullmatch(name.encode()) or UNFIT.search(value.encode("latin-1", "replace")):
                raise ValueError(f"header {name!r}: cannot stand in an HTTP answer")

    @property
    def fields(self) -> Headers:
        """The headers as they are sent."""
        return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in self.headers]


#: None: come in. An exception, or no answer within ``timeouts.handshake_seconds``, is a no: 503.
Authorize = Callable[[AccessRequest], Awaitable[AccessDenied | None]]
#: What a client is answered when the check itself fails.
FAILED: Final = AccessDenied(503, "access_check_failed", (("Retry-After", "5"),))


async def ask(
    authorize: Authorize, request: RequestHead, *, client: str, scheme: str, seconds: float
) -> AccessDenied | None:
    """What ``authorize`` says. If it raises, takes longer than ``seconds`` or answers anything else: `FAILED`, and a line in
    the log with its traceback."""
    query = request.target.partition(b"?")[2].decode("ascii", "replace")
    asked = AccessRequest(request.path, query, RequestHeaders(request.headers), client, scheme, request.subprotocols)
    try:
        with trio.fail_after(seconds):
            answer: object = await authorize(asked)
        if answer is not None and not isinstance(answer, AccessDenied):
            raise TypeError(f"authorize must return None or AccessDenied, not {answer!r}")
    except Exception:
        log.exception("access check failed", path=asked.path, client=client)
        return FAILED
    return answer
