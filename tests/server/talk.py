"""FastVideo's messages, as a client says and hears them."""

from __future__ import annotations

import json
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.server.peers import Closed, Peer

Message = dict[str, Any]


async def say(peer: Peer, kind: str, **fields: Any) -> None:
    await peer.send(json.dumps({"type": kind, **fields}))


async def hear(peer: Peer, kind: str) -> Message:
    """The first message of that type; what comes before it is dropped, media too."""
    while True:
        found = read(await peer.recv())
        if found["type"] == kind:
            return found


async def open_session(client: Peer) -> Message:
    """Say the first message; returns ``gpu_assigned``."""
    await say(client, "session_init_v2", client_id="me")
    return await hear(client, "gpu_assigned")


async def segment(client: Peer, prompt: str = "a cat") -> list[Message]:
    """Ask for a segment; everything that comes up to its end."""
    await say(client, "segment_prompt_source", prompt=prompt)
    heard = [read(await client.recv())]
    while heard[-1]["type"] != "ltx2_segment_complete":
        heard.append(read(await client.recv()))
    return heard


async def last_words(client: Peer) -> tuple[list[Message], Closed]:
    """What still comes, and the close behind it."""
    messages, closed = await client.rest()
    return [read(message) for message in messages], closed


def read(message: str | bytes) -> Message:
    if isinstance(message, bytes):
        return {"type": "media", "data": message}
    found: Message = json.loads(message)
    return found


async def admitted(client: Peer) -> Message | None:
    """``gpu_assigned``, or None for a client that was sent away (its ``heard`` close says how)."""
    try:
        return await open_session(client)
    except ConnectionClosed:
        return None
