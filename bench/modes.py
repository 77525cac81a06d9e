"""What a session of the replica does after its init message: echo, push at full speed, or paced video.

A mode writes nothing while its session may not (`paused`), and goes on when it is told to `resume`. Frames
smaller than 64 KiB are pushed several to a write: the replica is then never the bottleneck, and what is
measured is a saturated link.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from picows import WSMsgType

from bench import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from picows import WSFrame, WSTransport

_WRITES_PER_TURN = 4  # then other sessions get their turn
_UNIT_BYTES = 64 * wire.KIB


class Host(Protocol):
    """What a mode needs of its session."""

    paused: bool

    def finish(self, transport: WSTransport, **sent: int) -> None: ...


class Mode(Protocol):
    """What a session does after its first message."""

    def on_message(self, frame: WSFrame) -> None: ...
    def resume(self) -> None: ...
    def end(self) -> None: ...


class Echo:
    """Every data frame goes back as it came."""

    def __init__(self, transport: WSTransport) -> None:
        self._send = transport.send

    def on_message(self, frame: WSFrame) -> None:
        self._send(frame.msg_type, frame.get_payload_as_memoryview())

    def resume(self) -> None:
        pass

    def end(self) -> None:
        pass


class Push:
    """A unit of messages over and over, as fast as the reader takes them, until any message arrives."""

    def __init__(self, session: Host, transport: WSTransport, unit: Sequence[tuple[int, bytes]]) -> None:
        self._session, self._transport = session, transport
        self._loop = asyncio.get_running_loop()
        self._frames_per_unit, self._bytes_per_unit = len(unit), sum(len(data) for _, data in unit)
        self._unit = b"".join(wire.server_frame(data, opcode) for opcode, data in unit)
        self._units = 0
        self._live, self._scheduled = True, False
        self.resume()

    def resume(self) -> None:
        if self._live and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._scheduled = False
        for _ in range(_WRITES_PER_TURN):
            if self._session.paused or not self._live:
                return
            self._transport.underlying_transport.write(self._unit)
            self._units += 1
        self.resume()

    def on_message(self, frame: WSFrame) -> None:
        if self._live:
            self._live = False
            frames, size = self._units * self._frames_per_unit, self._units * self._bytes_per_unit
            self._session.finish(self._transport, frames=frames, bytes=size)

    def end(self) -> None:
        self._live = False


class Paced:
    """Video at its own pace (see `wire.Pace`); `phase` in 0..1 keeps sessions from ticking together.

    A tick that finds the way blocked is sent when it is free again, and the clock starts anew from there: a
    replica makes up for no lost time. Such ticks are counted as late.
    """

    def __init__(self, session: Host, transport: WSTransport, phase: float) -> None:
        self._session, self._transport, self._pace = session, transport, wire.Pace()
        self._loop = asyncio.get_running_loop()
        self._chunk = bytearray(wire.server_frame(wire.payload(self._pace.chunk_bytes)))
        self._stamp_at = len(self._chunk) - self._pace.chunk_bytes
        self._tick = self._frames = self._bytes = self._late = 0
        self._blocked = False
        self._due = self._loop.time() + phase / self._pace.fps
        self._timer: asyncio.Handle = self._loop.call_at(self._due, self._on_tick)

    def _on_tick(self) -> None:
        if self._session.paused:
            self._blocked = True
            self._late += 1
            return
        self._send_tick(self._tick % self._pace.segment_ticks)
        self._tick += 1
        self._due = max(self._due + 1 / self._pace.fps, self._loop.time())
        self._timer = self._loop.call_at(self._due, self._on_tick)

    def _send_tick(self, position: int) -> None:
        segment = self._tick // self._pace.segment_ticks
        if position == 0:
            self._text(type="ltx2_segment_start", segment_idx=segment, prompt="bench", total_steps=8)
            self._text(type="media_init", segment_idx=segment, mime="video/mp4", stream_id=f"s{segment}")
        if position % self._pace.burst_every_ticks == 0:
            self._burst()
        elif position == self._pace.segment_ticks - 1:
            self._text(type="media_segment_complete", segment_idx=segment, stream_id=f"s{segment}", chunks=12)
            self._text(type="ltx2_segment_complete", segment_idx=segment, generation_time_ms=900.0)
        else:
            self._text(type="step_complete", segment_idx=segment, step=position)

    def _text(self, **message: str | float) -> None:
        data = json.dumps({**message, "tick": self._tick, "sent_at": time.monotonic()}).encode()
        self._transport.send(WSMsgType.TEXT, data)
        self._frames += 1
        self._bytes += len(data)

    def _burst(self) -> None:
        for _ in range(self._pace.burst_chunks):
            wire.CHUNK_STAMP.pack_into(self._chunk, self._stamp_at, time.monotonic(), self._tick)
            self._transport.underlying_transport.write(bytes(self._chunk))
        self._frames += self._pace.burst_chunks
        self._bytes += self._pace.burst_chunks * self._pace.chunk_bytes

    def resume(self) -> None:
        if self._blocked:
            self._blocked = False
            self._due = self._loop.time()
            self._timer = self._loop.call_soon(self._on_tick)

    def on_message(self, frame: WSFrame) -> None:
        self.end()
        self._session.finish(self._transport, frames=self._frames, bytes=self._bytes, late=self._late)

    def end(self) -> None:
        self._blocked = False
        self._timer.cancel()


def _same_size(size: int) -> Sequence[tuple[int, bytes]]:
    data = wire.payload(size)
    return [(wire.BINARY, data)] * max(1, _UNIT_BYTES // len(wire.server_frame(data)))


def start_mode(session: Host, transport: WSTransport, bench: dict[str, Any]) -> Mode:
    """The mode that the init message asks for; echo when it names none that is known."""
    match bench["mode"]:
        case "push":
            return Push(session, transport, _same_size(bench["size"]))
        case "video":
            return Push(session, transport, wire.segment())
        case "paced":
            return Paced(session, transport, bench["phase"])
        case _:
            return Echo(transport)
