"""A relay between memory streams: the far ends of its legs, and a provider that gives out what a test offers.

Frames are written and read by the `websockets` library, so an end here is as strict as a foreign one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from trio_router.core.config import LimitsConfig, TimeoutsConfig
from trio_router.core.config.blocks import Dialect as DialectName
from trio_router.core.dialects import make_dialect
from trio_router.core.flow import Scratch
from trio_router.core.outcome import End, Phase, Side
from trio_router.keeper import Keeper
from trio_router.leg import Leg, StreamLeg
from trio_router.relay import Relay

Pair = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]

INIT = json.dumps({"type": "session_init_v2", "client_id": "ann"}).encode()
ASSIGNED = json.dumps({"type": "gpu_assigned", "gpu_id": 0}).encode()
QUEUED = json.dumps({"type": "queue_status", "position": 1, "queue_depth": 1}).encode()
COMPLETE = json.dumps({"type": "ltx2_stream_complete", "reason": "cap"}).encode()
REJECTED = json.dumps({"type": "error", "code": "session_rejected", "message": "full", "retryable": False}).encode()


class FarEnd:
    """A client, or a replica, as it sits at the other end of a leg."""

    def __init__(self, stream: trio.abc.Stream, *, masks: bool) -> None:
        self.stream = stream
        self.masks = masks
        self._reader = StreamReader()
        self._parsing: Generator[None, None, Frame] | None = None

    async def send(self, opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
        """Send a frame; returns its bytes."""
        data = Frame(opcode, payload, fin).serialize(mask=self.masks)
        await self.stream.send_all(data)
        return data

    async def text(self, payload: bytes) -> bytes:
        return await self.send(Opcode.TEXT, payload)

    async def binary(self, payload: bytes) -> bytes:
        return await self.send(Opcode.BINARY, payload)

    async def close(self, code: int | None = None, reason: str = "") -> None:
        await self.send(Opcode.CLOSE, Close(code, reason).serialize() if code else b"")

    async def vanish(self) -> None:
        """Leave without a close frame."""
        await self.stream.aclose()

    async def hear(self) -> Frame:
        """The next frame. Raises EOFError at the end of the stream."""
        self._parsing = self._parsing or Frame.parse(self._reader.read_exact, mask=not self.masks)
        while True:
            try:
                next(self._parsing)
            except StopIteration as done:
                self._parsing = None
                found: Frame = done.value
                return found
            data = await self.stream.receive_some()
            if not data:
                raise EOFError(f"{len(self._reader.buffer)} bytes of a frame are left")
            self._reader.feed_data(bytes(data))

    async def hears(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> None:
        """The next frame is this one."""
        assert await self.hear() == Frame(opcode, payload, fin)

    async def hears_bytes(self, data: bytes) -> None:
        """Exactly these bytes come next, whatever they mean."""
        assert self._parsing is None
        got = b""
        while len(got) < len(data):
            got += bytes(await self.stream.receive_some(len(data) - len(got)))
        assert got == data

    async def hears_close(self, code: int | None, reason: str = "") -> None:
        """The next frame is this close."""
        payload = Close(code, reason).serialize() if code else b""
        await self.hears(Opcode.CLOSE, payload)

    async def hears_error(self, code: str, *, retryable: bool = True) -> None:
        """The next frame is an error message of the FastVideo dialect."""
        found = await self.hear()
        assert found.opcode is Opcode.TEXT
        fields = json.loads(found.data)
        assert (fields["type"], fields["code"], fields["retryable"]) == ("error", code, retryable)

    async def hears_end(self, *, left: int = 0) -> None:
        """The stream ends, ``left`` bytes into the payload of a frame."""
        try:
            found = await self.hear()
        except EOFError:
            assert len(self._reader.buffer) == left
        else:
            raise AssertionError(f"{found} instead of the end")


class Offers:
    """A `Provider` that gives out what it is offered, in order, and notes what it is told."""

    def __init__(self) -> None:
        self.failed: list[End] = []
        self.commits = 0
        self.asked_at: list[float] = []
        self._send, self._receive = trio.open_memory_channel[Leg | End | Exception](10)

    async def next_leg(self, relay: Relay) -> Leg | End:
        if relay.first_message is not None:
            await relay.first_message.wait()
            relay.first_message = None
        self.asked_at.append(trio.current_time())
        relay.phase = Phase.CONNECTING
        found = await self._receive.receive()
        if isinstance(found, Exception):
            raise found
        return found

    def attempt_failed(self, end: End) -> None:
        self.failed.append(end)

    def committed(self) -> None:
        self.commits += 1

    def offer(self, found: Leg | End | Exception) -> None:
        self._send.send_nowait(found)

    @property
    def left(self) -> int:
        """Offers that were not taken."""
        return self._receive.statistics().current_buffer_used


def connected(side: Side, pair: Pair = trio.testing.memory_stream_pair) -> tuple[Leg, FarEnd]:
    """A leg and its far end."""
    near, far = pair()
    return StreamLeg(near, side), FarEnd(far, masks=side is Side.CLIENT)


class Scene:
    """One relay that runs, its client's far end, and how it ended (``ended_at``: Trio's time)."""

    def __init__(
        self,
        dialect: DialectName,
        pair: Pair,
        client: tuple[Leg, FarEnd] | None,
        timeouts: Mapping[str, float],
        limits: Mapping[str, int],
    ) -> None:
        self.offers = Offers()
        self.keeper = Keeper()
        self.end: End | None = None
        self.crash: Exception | None = None
        self.ended_at = -1.0
        self._pair = pair
        self._over = trio.Event()
        leg, self.client = client or connected(Side.CLIENT, pair)
        self.relay = Relay(
            leg,
            make_dialect(dialect),
            timeouts=TimeoutsConfig.model_validate(timeouts),
            limits=LimitsConfig.model_validate(limits),
            scratch=Scratch(),
            keeper=self.keeper,
        )

    async def run(self) -> None:
        try:
            self.end = await self.relay.run(self.offers)
        except Exception as exc:
            self.crash = exc
        finally:
            self.ended_at = trio.current_time()
            self._over.set()

    def replica(self) -> FarEnd:
        """Offer another replica; returns its far end."""
        leg, far = connected(Side.REPLICA, self._pair)
        self.offers.offer(leg)
        return far

    async def opened(self) -> FarEnd:
        """Say the first words of a session, past the commit point."""
        replica = self.replica()
        await self.client.text(INIT)
        await replica.hears(Opcode.TEXT, INIT)
        await replica.text(ASSIGNED)
        await self.client.hears(Opcode.TEXT, ASSIGNED)
        assert self.offers.commits == 1
        return replica

    async def over(self) -> End:
        """How it ended; waits for it."""
        await self._over.wait()
        assert self.end is not None, self.crash
        return self.end

    async def crashed(self) -> Exception:
        """With what it crashed; waits for it."""
        await self._over.wait()
        assert self.crash is not None, self.end
        return self.crash


@asynccontextmanager
async def relaying(
    dialect: DialectName = "fastvideo",
    *,
    pair: Pair = trio.testing.memory_stream_pair,
    client: tuple[Leg, FarEnd] | None = None,
    timeouts: Mapping[str, float] | None = None,
    **limits: int,
) -> AsyncIterator[Scene]:
    """A relay that runs until the block ends; for at most a day of virtual time, so that nothing hangs."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 86_400
        scene = Scene(dialect, pair, client, timeouts or {}, limits)
        nursery.start_soon(scene.keeper.run)
        nursery.start_soon(scene.run)
        yield scene
        nursery.cancel_scope.cancel()
    if nursery.cancel_scope.cancelled_caught and trio.current_time() >= nursery.cancel_scope.deadline:
        raise trio.TooSlowError


def ended(end: End) -> tuple[str, str]:
    """(side, cause)."""
    return str(end.side), str(end.cause)


def fields(**values: Any) -> bytes:
    """A JSON message."""
    return json.dumps(values).encode()
