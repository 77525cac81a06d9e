"""A router with an admin API, and somebody who asks it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import trio

from tests.server.peers import BOUND_SECONDS
from tests.server.router import config_for, eventually, is_healthy
from trio_router import Router
from trio_router.core.config import AdminToken
from trio_router.server.reload import LoadConfig

VIEWER, OPERATOR, WRONG = "viewer-0123456789", "operator-0123456789", "nobody-0123456789"
TOKENS = (
    AdminToken(name="wall", token=VIEWER, role="viewer"),
    AdminToken(name="ann", token=OPERATOR, role="operator"),
)


@dataclass
class Desk:
    """Asks the admin API of ``router`` with ``token``."""

    router: Router
    http: httpx.AsyncClient
    token: str | None = OPERATOR

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        if self.token is not None:
            headers.setdefault("authorization", f"Bearer {self.token}")
        content = body if isinstance(body, bytes) or body is None else json.dumps(body)
        return await self.http.request(method, f"/api/v1{path}", content=content, headers=headers)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[EventReader]:
        """What is told from now on. HTTP/1.0, so that the body is the stream and nothing else."""
        head = f"GET /api/v1/events HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {self.token}\r\n\r\n"
        async with await trio.open_tcp_stream("127.0.0.1", self.router.admin_port or 0) as stream:
            await stream.send_all(head.encode())
            reader = EventReader(stream)
            assert "content-type: text/event-stream" in await reader.block()
            assert await reader.block() == ": listening"
            yield reader


class EventReader:
    """Reads server-sent events."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""

    async def block(self) -> str:
        """What stands before the next empty line."""
        while b"\n\n" not in self._data:
            more = await self._stream.receive_some()
            assert more, "the stream has ended"
            self._data += more.replace(b"\r", b"")
        block, self._data = self._data.split(b"\n\n", 1)
        return block.decode()

    async def next(self) -> tuple[str, dict[str, Any]]:
        """(event, data)"""
        fields = dict(line.split(": ", 1) for line in (await self.block()).splitlines())
        return fields["event"], json.loads(fields["data"])


@contextlib.asynccontextmanager
async def desk(
    *urls: str,
    admin: dict[str, Any] | None = None,
    load: LoadConfig | None = None,
    config: Any = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """A running router whose replicas are healthy, and an operator before its admin API."""
    block = {"port": 0, "tokens": TOKENS} if admin is None else admin
    router = Router(config or config_for(*urls, admin=block, **settings), load=load)
    with trio.fail_after(BOUND_SECONDS * 2):
        async with trio.open_nursery() as nursery:
            await nursery.start(router.run)
            replicas = len(router.registry.replicas)
            await eventually(lambda: all(is_healthy(router, index) for index in range(replicas)))
            socket = router.config.admin.socket
            transport = httpx.AsyncHTTPTransport(uds=socket) if socket else None
            base = f"http://127.0.0.1:{router.admin_port or 1}" if not socket else "http://localhost"
            async with httpx.AsyncClient(transport=transport, base_url=base, trust_env=False, timeout=10) as http:
                yield Desk(router, http)
            nursery.cancel_scope.cancel()
