"""Talking to a replica in tests: messages in, messages out, until a type or the end."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection  # the demo's ends are not the data path

from trio_router.demo.client import open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

Event = dict[str, Any]
BOUND_SECONDS = 20.0  # far above what any of this needs; it turns a hang into a failure


class StartReplica(Protocol):
    """Starts a quick demo replica with some options changed; returns its base URL."""

    async def __call__(self, **changes: Any) -> str: ...


class Talk:
    """A client's end of one connection."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send_message(json.dumps({"type": kind, **fields}))

    async def hear(self) -> Event:
        raw = await self.socket.get_message()
        return {"type": "binary", "data": raw} if isinstance(raw, bytes) else json.loads(raw)

    async def hear_until(self, kind: str) -> list[Event]:
        """Everything up to and including the first message of this type."""
        events = [await self.hear()]
        while events[-1]["type"] != kind:
            events.append(await self.hear())
        return events

    async def start(self, **fields: Any) -> Event:
        """Open the session; returns gpu_assigned."""
        await self.say("session_init_v2", **fields)
        return (await self.hear_until("ltx2_stream_start"))[-2]

    async def segment(self, prompt: str) -> list[Event]:
        await self.say("segment_prompt_source", prompt=prompt)
        return await self.hear_until("ltx2_segment_complete")

    async def close_code(self) -> int:
        """Forget what is still to come; the code that the server closed with (1006: no close frame)."""
        with suppress(ConnectionClosed):
            while True:
                await self.hear()
        assert self.socket.closed is not None
        return self.socket.closed.code


@asynccontextmanager
async def talk_to(base_url: str, path: str = "/v1/stream") -> AsyncIterator[Talk]:
    with trio.fail_after(BOUND_SECONDS):
        async with open_session(base_url.replace("http:", "ws:") + path) as socket:
            yield Talk(socket)


async def wait_until_free(http: httpx.AsyncClient, base_url: str) -> None:
    """The replica frees its GPU in its own time; each look is a round trip, so this does not spin."""
    with trio.fail_after(BOUND_SECONDS):
        while (await http.get(f"{base_url}/health")).json()["sessions"]:
            pass


async def until_refused(port: int) -> None:
    """A listener that was closed just now refuses connections at once; each look is a connection."""
    with trio.fail_after(BOUND_SECONDS), suppress(OSError):
        while True:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
