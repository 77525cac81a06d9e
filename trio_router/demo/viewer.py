"""A viewer without a screen: runs one session, keeps its video as one MP4, and returns a summary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection  # noqa: TID251  # the demo's ends are not the data path

from trio_router.demo.client import open_session
from trio_router.demo.messages import SEGMENT_PROMPT, SESSION_INIT, Message
from trio_router.demo.summary import Recorder, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_READY_FOR_PROMPT = {"ltx2_stream_start", "ltx2_segment_complete"}
# After an error frame the close follows at once; a server that keeps the session open after one is left alone.
_CLOSE_AFTER_ERROR_SECONDS = 2.0


async def watch(
    url: str,
    prompts: Sequence[str],
    *,
    out_path: Path | None = None,
    on_event: Callable[[Message], None] | None = None,
    connect_timeout: float = 10.0,
) -> Summary:
    """Ask `url` (`ws://host:port/v1/stream`) for one segment for each prompt, one after the other.

    Returns a Summary whatever the server does; bounding the whole is the caller's. `on_event` is called with
    every control message, and with `{"type": "media", "bytes": n}` for each binary frame. With an `out_path`
    the segments that arrived are written there as one MP4 (needs PyAV: DemoDependencyError), without one
    `frames` stays 0.
    """
    recorder = Recorder(prompts, trio.current_time())
    try:
        async with open_session(url, connect_timeout=connect_timeout) as socket:
            await _Viewing(socket, recorder, on_event).run()
    except* (OSError, HandshakeError, trio.TooSlowError) as failures:
        recorder.ended, recorder.error = "unreachable", repr(failures.exceptions[0])
    frames = await _save(recorder, out_path) if out_path else 0
    return recorder.summary(frames=frames, out_path=out_path)


async def _save(recorder: Recorder, out_path: Path) -> int:
    from trio_router.demo.video import join_segments  # only here: a viewer that keeps nothing needs no codec

    if not recorder.media:
        return 0
    return await trio.to_thread.run_sync(join_segments, recorder.media, out_path)


class _Viewing:
    """One connection's conversation, until every prompt is answered or the server ends it."""

    def __init__(
        self, socket: WebSocketConnection, recorder: Recorder, on_event: Callable[[Message], None] | None
    ) -> None:
        self._socket = socket
        self._recorder = recorder
        self._on_event = on_event or (lambda _event: None)

    async def run(self) -> None:
        try:
            await self._converse()
            with trio.move_on_after(_CLOSE_AFTER_ERROR_SECONDS):
                await self._await_close()
        except ConnectionClosed:
            pass
        with trio.move_on_after(_CLOSE_AFTER_ERROR_SECONDS):
            await self._socket.aclose()
        closed = self._socket.closed
        if closed is not None:
            self._recorder.close = (closed.code, closed.reason)

    async def _converse(self) -> None:
        """Returns when the last prompt is answered or an error frame came."""
        await self._send({"type": SESSION_INIT, "client_id": "trio-router-viewer", "stream_mode": "av_fmp4"})
        while self._recorder.error is None:
            message = await self._receive()
            if message.get("type") in _READY_FOR_PROMPT and not await self._ask():
                return

    async def _ask(self) -> bool:
        prompt = self._recorder.ask(trio.current_time())
        if prompt is None:
            self._recorder.ended = "finished"
            return False
        await self._send({"type": SEGMENT_PROMPT, "prompt": prompt, "source": "user"})
        return True

    async def _await_close(self) -> None:
        """After an error frame, wait for the close: its code shows which side ended the session."""
        while self._recorder.ended == "error":
            await self._receive()

    async def _send(self, message: Message) -> None:
        await self._socket.send_message(json.dumps(message))

    async def _receive(self) -> Message:
        raw = await self._socket.get_message()
        now = trio.current_time()
        if isinstance(raw, bytes):
            self._recorder.feed_media(raw, now)
            message: Message = {"type": "media", "bytes": len(raw)}
        else:
            message = json.loads(raw)
            self._recorder.feed(message, now)
        self._on_event(message)
        return message
