"""One WebSocket session of the load generator, and opening and ending many of them."""

from __future__ import annotations

import asyncio
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench import wire
from bench.certificate import SUITE, client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Sequence

    from bench.client.meter import Errors

S = TypeVar("S", bound="Session")

BROWSER_OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
_OPEN_AT_ONCE = 32
_OPEN_TIMEOUT_S = 20.0
_LINGER_S = 2.0
_NORMAL = 1000
_DEFLATE_TAIL = b"\x00\x00\xff\xff"  # RFC 7692, section 7.2.2


class Session(WSListener):
    """Says the init message, waits for the replica's ready, then hands every data frame to `on_data`."""

    def __init__(self, bench: dict[str, Any], errors: Errors) -> None:
        loop = asyncio.get_running_loop()
        self.errors = errors
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.close_code: int | None = None
        self.inflater: Inflater | None = None
        self.transport: WSTransport | None = None
        self._init = wire.init_message(bench)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        extensions = transport.response.headers.get("Sec-WebSocket-Extensions", "")
        if "permessage-deflate" in extensions:
            self.inflater = Inflater(takeover="server_no_context_takeover" not in extensions)
        transport.send(WSMsgType.TEXT, self._init)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            self._on_close(transport, frame)
        elif self.ready.done():
            self.on_data(frame)
        elif (message := self._whole(frame)) == wire.READY:
            self.ready.set_result(None)
        elif message != wire.QUEUED:  # which FastVideo's server says before it has a GPU
            self.ready.set_exception(RuntimeError(f"not ready: {frame.get_payload_as_bytes()[:200]!r}"))

    def on_data(self, frame: WSFrame) -> None:
        """A data frame after the replica's ready; for subclasses."""

    def _whole(self, frame: WSFrame) -> bytes:
        data = frame.get_payload_as_bytes()
        return self.inflater.feed(data, fin=True) if self.inflater is not None and frame.rsv1 else data

    def _on_close(self, transport: WSTransport, frame: WSFrame) -> None:
        self.close_code = int(frame.get_close_code().value)
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        # The server's side closes TCP first (RFC 6455, 7.1.1); one that forgets is not waited for.
        asyncio.get_running_loop().call_later(_LINGER_S, transport.disconnect)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"closed before ready, code {self.close_code}"))
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    @property
    def wire(self) -> WSTransport:
        assert self.transport is not None
        return self.transport

    def send_stop(self) -> None:
        self.wire.send(WSMsgType.TEXT, wire.STOP)

    async def end(self, timeout_s: float = 5.0) -> None:
        """Close with 1000 and wait for the end of the connection; a wrong answer is an error."""
        if not self.gone.done():
            self.wire.send_close(WSCloseCode.OK)
        await self.wait_gone(timeout_s)

    async def wait_gone(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(self.gone), timeout_s)
        except TimeoutError:
            self.errors.add(f"connection still open {timeout_s:g} s after the end")
            self.wire.disconnect(graceful=False)
            return
        if self.close_code != _NORMAL:
            self.errors.add(f"closed with {self.close_code}, not 1000")


class Inflater:
    """permessage-deflate, receiving side."""

    def __init__(self, *, takeover: bool) -> None:
        self._takeover = takeover
        self._decoder = zlib.decompressobj(wbits=-zlib.MAX_WBITS)

    def feed(self, data: bytes, *, fin: bool) -> bytes:
        plain = self._decoder.decompress(data + _DEFLATE_TAIL if fin else data)
        if fin and not self._takeover:
            self._decoder = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        return plain


async def open_one(
    session: S, port: int, *, browser: bool = False, tls: bool = False, buffer_bytes: int = 16 * wire.KIB
) -> S:
    """Connect, and wait until the replica has answered the init message."""
    await ws_connect(
        lambda: session,
        f"{'wss' if tls else 'ws'}://{wire.HOST}:{port}{wire.PATH}",
        ssl_context=_tls_context() if tls else None,
        extra_headers=BROWSER_OFFER if browser else None,
        websocket_handshake_timeout=_OPEN_TIMEOUT_S,
        max_frame_size=64 * wire.MIB,
        read_buffer_init_size=buffer_bytes,
    )
    if tls:
        _check_suite(session)
    try:
        await asyncio.wait_for(session.ready, _OPEN_TIMEOUT_S)
    except TimeoutError as error:
        raise ConnectionError(f"connected, but no answer from the replica in {_OPEN_TIMEOUT_S:g} s") from error
    return session


@cache
def _tls_context() -> ssl.SSLContext:
    """One for all sessions; nothing is resumed by itself, so each opening is a full handshake."""
    return client_context()


def _check_suite(session: Session) -> None:
    agreed = session.wire.underlying_transport.get_extra_info("cipher")
    if agreed is None or agreed[0] != SUITE:
        session.errors.add(f"agreed on {agreed}, not on {SUITE}")


async def open_many(sessions: Iterable[S], open_session: Callable[[S], Any]) -> list[S]:
    """Open them, a few at a time; the first failure ends it."""
    waiting = iter(sessions)
    opened: list[S] = []

    async def worker() -> None:
        for session in waiting:
            await open_session(session)
            opened.append(session)

    async with asyncio.TaskGroup() as group:
        for _ in range(_OPEN_AT_ONCE):
            group.create_task(worker())
    return opened


async def end_all(sessions: Sequence[Session]) -> None:
    await asyncio.gather(*(session.end() for session in sessions))
