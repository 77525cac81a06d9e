"""A replica that needs no GPU: FastVideo's protocol and its HTTP endpoints on one port. It can run as a process.

    python -m trio_router.demo.replica --name blue

It copies most carefully what is hard for a router: a full replica accepts and then rejects (1013); a
GPU stays busy after its client has left; a session ends by TCP alone, without a close frame.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click
import trio
from trio_websocket import ConnectionClosed, wrap_server_stream
from wsproto.utilities import ProtocolError

from trio_router.demo.connections import OpenConnections
from trio_router.demo.messages import error_message
from trio_router.demo.options import DemoReplicaOptions
from trio_router.demo.port import BadRequest, ReplayStream, RequestHead, answer_json, read_head
from trio_router.demo.replica_session import CloseFrame, ReplicaSession
from trio_router.demo.segment import DemoDependencyError, MakeSegment, VideoFormat, opaque_segment
from trio_router.demo.wire import MESSAGE_QUEUE, RECEIVE_BYTES, TOO_BIG, Wire, drain

if TYPE_CHECKING:
    from trio_websocket import WebSocketConnection  # noqa: TID251  # the demo's ends are not the data path

STREAM_PATH = "/v1/stream"

logger = logging.getLogger(__name__)


async def run_demo_replica(
    options: DemoReplicaOptions,
    *,
    connections: OpenConnections | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serve until cancelled. `started()` gives the base URL once connections are accepted.

    Every accepted connection is in `connections` while it is open. Raises DemoDependencyError before `started()`
    when `options` asks for real video and its packages are missing.
    """
    replica = _DemoReplica(options, options.make_segment or _real_video(), connections or OpenConnections())
    listeners = await trio.open_tcp_listeners(options.port, host=options.host)
    port = listeners[0].socket.getsockname()[1]
    task_status.started(f"http://{options.host}:{port}")
    await trio.serve_listeners(replica.serve_connection, listeners)


def _real_video() -> MakeSegment:
    from trio_router.demo.video import video_segment  # only here: load tests run without a codec

    return video_segment


class _DemoReplica:
    """The state of one replica: which of its GPUs are busy, and its open connections."""

    def __init__(self, options: DemoReplicaOptions, make_segment: MakeSegment, connections: OpenConnections) -> None:
        self._options = options
        self._make_segment = make_segment
        self._connections = connections
        self._ready_at = trio.current_time() + options.warmup_seconds
        self._busy_gpus: set[int] = set()

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer one connection, whatever happens on it. Nothing but cancellation leaves this method."""
        try:
            with self._connections.track(stream):
                await self._answer(stream)
        except* (ConnectionClosed, ProtocolError, BadRequest, trio.BrokenResourceError, trio.ClosedResourceError):
            logger.debug("%s: the client went away", self._options.name)
        except* Exception:
            # A crash ends one session, not the replica. Its client sees a dropped connection.
            logger.exception("%s: session crashed", self._options.name)
        finally:
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.SocketStream) -> None:
        head: RequestHead | None = None
        with trio.move_on_after(self._options.handshake_timeout_seconds):
            head = await read_head(stream)
        if head is None:
            return
        if head.is_websocket:
            await self._answer_websocket(ReplayStream(head.received, stream), head)
        else:
            await self._answer_http(stream, head)

    async def _answer_http(self, stream: trio.SocketStream, head: RequestHead) -> None:
        routes = {"/health": self._health, "/readyz": self._readiness}
        route = routes.get(head.path.partition("?")[0])
        with trio.move_on_after(self._options.handshake_timeout_seconds):
            if route is None:
                await answer_json(stream, head.method, 404, {"detail": "Not Found"})
            elif head.method not in {"GET", "HEAD"}:
                await answer_json(stream, head.method, 405, {"detail": "Method Not Allowed"})
            else:
                await answer_json(stream, head.method, 200, route())

    def _health(self) -> dict[str, Any]:
        """200 even when full: liveness does not depend on free GPUs."""
        return {"status": "ok", "sessions": len(self._busy_gpus), "stream_mode": self._options.stream_mode}

    def _readiness(self) -> dict[str, Any]:
        total, warm = self._options.max_sessions, trio.current_time() >= self._ready_at
        return {
            "status": "ready" if warm else "warming",
            "ready_gpu_workers": total if warm else 0,
            "total_gpus": total,
            "available_gpus": total - len(self._busy_gpus) if warm else 0,
            "queue_size": 0,
        }

    async def _answer_websocket(self, stream: ReplayStream, head: RequestHead) -> None:
        """Serve one WebSocket. Its nursery is its own, because trio-websocket's reader raises into it."""
        code: int | None = None
        async with trio.open_nursery() as nursery:
            socket = await self._accept(stream, head, nursery)
            if socket is not None:
                code = await self._serve_socket(socket, stream, nursery)
            nursery.cancel_scope.cancel()
        if code == TOO_BIG:
            await drain(stream, self._options.close_timeout_seconds)

    async def _accept(
        self, stream: ReplayStream, head: RequestHead, nursery: trio.Nursery
    ) -> WebSocketConnection | None:
        with trio.move_on_after(self._options.handshake_timeout_seconds):
            request = await wrap_server_stream(
                nursery, stream, MESSAGE_QUEUE, self._options.max_message_bytes, RECEIVE_BYTES
            )
            if head.path.partition("?")[0] == STREAM_PATH:
                return await request.accept()
            await request.reject(403)
        return None

    async def _serve_socket(
        self, socket: WebSocketConnection, stream: ReplayStream, nursery: trio.Nursery
    ) -> int | None:
        """Run one session. Returns the close code, or None when the connection ended without a close frame."""
        options = self._options
        wire = Wire(socket, stream, max_message_bytes=options.max_message_bytes)
        nursery.start_soon(wire.keep_alive, options.ping_interval_seconds, options.ping_timeout_seconds)
        try:
            ending = await self._run_session(wire)
        except ConnectionClosed as closed:
            return closed.reason.code if closed.reason else None
        if ending is None:
            return None
        await wire.close(ending.code, ending.reason, within=options.close_timeout_seconds)
        return ending.code

    async def _run_session(self, wire: Wire) -> CloseFrame | None:
        """Hold a GPU from here until nothing is generated on it any more."""
        gpu_id = next((gpu for gpu in range(self._options.max_sessions) if gpu not in self._busy_gpus), None)
        if gpu_id is None:
            text = f"server is at its limit of {self._options.max_sessions} session(s)"
            await wire.send(error_message("session_rejected", text, retryable=False))
            return CloseFrame(1013, "session_rejected")
        self._busy_gpus.add(gpu_id)
        try:
            session = ReplicaSession(wire, self._options, self._make_segment, gpu_id=gpu_id, ready_at=self._ready_at)
            return await session.run()
        finally:
            self._busy_gpus.remove(gpu_id)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0 lets the system choose.")
@click.option("--name", default="replica", show_default=True)
@click.option("--max-sessions", default=1, show_default=True)
@click.option("--segment-cap", default=6, show_default=True)
@click.option("--idle-timeout", "idle_timeout_seconds", default=300.0, show_default=True, help="Seconds.")
@click.option("--total-steps", default=8, show_default=True)
@click.option("--step-seconds", default=0.1, show_default=True)
@click.option("--warmup", "warmup_seconds", default=0.0, show_default=True, help="Seconds of 'warming'.")
@click.option("--num-frames", default=60, show_default=True, help="Frames of a segment, at 24 per second.")
@click.option("--opaque", is_flag=True, help="Send bytes that are no video; needs neither PyAV nor Pillow.")
def main(*, num_frames: int, opaque: bool, **choices: Any) -> None:
    """A demo replica. Its first line on stdout is `listening on http://HOST:PORT`."""
    try:
        options = DemoReplicaOptions(
            video=VideoFormat(num_frames=num_frames), make_segment=opaque_segment if opaque else None, **choices
        )
        trio.run(partial(run_demo_replica, options, task_status=_Announcement()))
    except (DemoDependencyError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


class _Announcement:
    """The task status of a replica process: prints the URL to stdout."""

    def started(self, url: str | None = None) -> None:
        click.echo(f"listening on {url}")


if __name__ == "__main__":
    main()
