"""Read a client's first message without keeping everybody else waiting: it may be a large image."""

from __future__ import annotations

from typing import Final

import trio

from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.websocket.frames import CONTINUATION, apply_mask
from trio_router.core.websocket.scanner import message_frames

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
