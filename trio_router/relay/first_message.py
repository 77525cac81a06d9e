"""Read a client's first message without keeping everybody else waiting: it may be a large image."""

from __future__ import annotations

from typing import Final

import trio

from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.session.outcome import Cause, End, Side
from trio_router.core.websocket.frames import CONTINUATION, apply_mask
from trio_router.core.websocket.scanner import message_frames
from trio_router.net.timers import Timers
from trio_router.relay.attempt import Connector

#: Unmasking costs some 5 ms/MiB. After so many bytes others get a turn. A multiple of 4, the length of a mask.
PIECE_BYTES: Final = 256 * 1024


async def read_in_pieces(replay: ReplayBuffer) -> tuple[int, bytes] | None:
    """(opcode, payload) of the first whole message in ``replay``; None if there is none."""
    data = replay.view()
    opcode, parts = CONTINUATION, []
    found_end = False
    for found in message_frames(data, masked=True):
        opcode = opcode or found.opcode
        mask = bytes(data[found.payload_start - 4 : found.payload_start])
        for start in range(found.payload_start, found.end, PIECE_BYTES):
            parts.append(apply_mask(bytes(data[start : min(start + PIECE_BYTES, found.end)]), mask))
            if len(parts) > 1:
                await trio.lowlevel.checkpoint()
        found_end = found.fin
    return (opcode, b"".join(parts)) if found_end else None


class FirstMessageWait:
    """Until the first message is whole, is late, or would be in vain."""

    __slots__ = ("_came", "_hopeless")

    def __init__(self) -> None:
        self._came = trio.Event()
        self._hopeless: End | None = None

    def came(self) -> None:
        """Wait no longer."""
        self._came.set()

    def _give_up(self, end: End) -> None:
        self._hopeless = end
        self._came.set()

    async def wait(self, timers: Timers, patience: float, connector: Connector) -> End:
        """Returns how the session ends if there is no message after all."""
        timer = timers.call_at(lambda _: self._came.set(), at=trio.current_time() + patience)
        forget = connector.when_hopeless(self._give_up)
        try:
            await self._came.wait()
        finally:
            forget()
            timer.cancel()
        return self._hopeless or End(Side.CLIENT, Cause.SILENT, detail=f"no message within {patience:g} s")
