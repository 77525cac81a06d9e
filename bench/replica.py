"""The fast replica: picows on uvloop, one process, one port for WebSocket and GET /health.

`python -m bench.replica PORT`. No extension is negotiated and no UTF-8 is checked. A session that may not
write (`pause_writing`) writes nothing, so memory stays flat however slow its reader is.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
from typing import TYPE_CHECKING

import uvloop
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from bench import proc, wire
from bench.modes import start_mode

if TYPE_CHECKING:
    from bench.modes import Mode

_BACKLOG = 4096
_HEALTHY = b'{"status":"ok","sessions":0,"stream_mode":"bench"}'


class ReplicaSession(WSListener):
    """One connection: waits for the init message, then hands everything to its mode."""

    def __init__(self) -> None:
        self.transport: WSTransport | None = None
        self.paused = False
        self.mode: Mode | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self._answer_close(transport, frame)
        elif self.mode is not None:
            self.mode.on_message(frame)
        else:
            bench = json.loads(frame.get_payload_as_bytes())["bench"]
            for message in (wire.QUEUED, wire.READY, wire.START) if bench.get("greeting") else (wire.READY,):
                transport.send(WSMsgType.TEXT, message)
            self.mode = start_mode(self, transport, bench)

    def _answer_close(self, transport: WSTransport, frame: WSFrame) -> None:
        if not transport.is_close_frame_sent:
            code = frame.get_close_code()
            transport.send_close(WSCloseCode.OK if code is WSCloseCode.NO_INFO else code)
        transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.mode is not None:
            self.mode.end()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.mode is not None:
            self.mode.resume()

    def finish(self, transport: WSTransport, **sent: int) -> None:
        """Say what was sent, and close."""
        transport.send(WSMsgType.TEXT, json.dumps({"type": "bench_done", **sent}).encode())
        transport.send_close(WSCloseCode.OK)


def _accept(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
    if request.path == b"/health":
        healthy = WSUpgradeResponse.create_ok_response(_HEALTHY, {"Content-Type": "application/json"})
        return WSUpgradeResponseWithListener(healthy, None)
    return ReplicaSession()


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await ws_create_server(_accept, wire.HOST, port, backlog=_BACKLOG, read_buffer_init_size=4096)
    await server.serve_forever()


def main() -> None:
    proc.raise_file_limit()
    logging.disable(logging.WARNING)
    gc.disable()  # a pause of the replica would be blamed on the router; nothing here makes cycles
    uvloop.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
