"""One HTTP GET to a replica, in bounds, whatever the replica answers. Above this nobody knows httpx.

No redirect is followed, no cookie is kept (two replicas on one host would get each other's), nothing is decompressed, and of a
body no more than ``BODY_BYTES`` are read. How long it may take is bounded by the caller's cancel scope.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import httpx
import trio

from trio_router._version import __version__

#: Time limit for closing the connections, also when the probes are cancelled.
CLOSE_SECONDS: Final = 1.0
#: A body beyond it is not read, and so not parsed: a report is a few hundred bytes. A probe is asked four times a
#: second at most, so this also bounds what a hostile replica makes the router read and parse.
BODY_BYTES: Final = 65536
#: A body in more pieces is not read either. Each costs 20 us, and none of those read at once lets others run meanwhile.
BODY_PIECES: Final = 1000
#: Errors are cut to so many characters: some of them quote what the replica sent.
WORDS: Final = 300
_HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"trio-router/{__version__}"}


class ProbeError(Exception):
    """There was no HTTP answer. ``str()`` says why in one line, with the errno if there is one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. ``body`` is None if it cannot be read, and ``unread`` says why."""

    status: int
    seconds: float
    body: bytes | None
    unread: str | None = None


class ProbeClient:
    """Keeps one connection to each replica open between probes. ``tls`` is for https replicas."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        # The bare transport: a client above it would add cookies, redirects and decoding.
        self._transport = httpx.AsyncHTTPTransport(verify=tls or False, limits=limits, trust_env=False)

    async def __aenter__(self) -> ProbeClient:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            await self._transport.__aexit__(kind, exc, traceback)

    async def get(self, url: str) -> Answer:
        """Fetch ``url``. A body that is longer than ``BODY_BYTES`` ends the connection, not the probe.

        Raises:
            ProbeError: there is no answer, or no whole one.
        """
        started = time.perf_counter()
        try:
            response = await self._transport.handle_async_request(httpx.Request("GET", url, headers=_HEADERS))
            async with contextlib.aclosing(response):
                body, unread = await _read(response)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as exc:
            raise ProbeError(words(exc)) from exc
        return Answer(response.status_code, time.perf_counter() - started, body, unread)


async def _read(response: httpx.Response) -> tuple[bytes | None, str | None]:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        return None, f"its body is encoded ({_printable(encoding, 40)}), though that was not asked for"
    body, pieces = bytearray(), 0
    chunks = response.aiter_raw()
    async for chunk in chunks:
        body += chunk
        pieces += 1
        if len(body) > BODY_BYTES:
            await _hang_up(response, chunks)
            return None, f"its body is longer than {BODY_BYTES // 1024} KiB"
        if pieces > BODY_PIECES:
            await _hang_up(response, chunks)
            return None, f"its body comes in more than {BODY_PIECES} pieces"
    return bytes(body), None


async def _hang_up(response: httpx.Response, chunks: AsyncIterator[bytes]) -> None:
    """Close the connection in the middle of an answer.

    Reading on from what is closed ends the five generators of httpx and httpcore that are inside each other. If they
    were only left, the garbage collector would find them, and Trio would warn of each.
    """
    await response.aclose()
    with contextlib.suppress(httpx.HTTPError):
        async for _ in chunks:  # what h11 has already: up to 64 KiB, which may be thousands of pieces
            await trio.lowlevel.checkpoint()


def words(exc: BaseException) -> str:
    """An error in one short line: its type and its message, or that of what caused it if it has none.

    httpx says of a lost network no more than "all attempts failed": there it is the errno that caused it.
    """
    said, lost = "", isinstance(exc, httpx.NetworkError)
    for cause in _causes(exc):
        if lost and isinstance(cause, OSError) and cause.errno and type(cause).__module__ == "builtins":
            said = f"[Errno {cause.errno}] {os.strerror(cause.errno)}"
            break
        said = said or str(cause)
    return _printable(f"{type(exc).__name__}: {said}".rstrip(": "), WORDS)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """It, and what it came from; of a group (trio's, of several addresses) the first."""
    seen: BaseException | None = exc
    for _ in range(20):  # chains are short; a loop in one must not be walked for ever
        if seen is None:
            return
        yield seen
        seen = seen.exceptions[0] if isinstance(seen, BaseExceptionGroup) else seen.__cause__ or seen.__context__


def _printable(text: str, most: int) -> str:
    text = "".join(char if char.isprintable() else "?" for char in text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"
