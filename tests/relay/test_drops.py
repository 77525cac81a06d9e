"""A peer whose large frame comes in drops is alive, though nobody is woken up for a drop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import trio
from websockets.frames import Frame, Opcode

from tests.relay.router import BOUND_SECONDS
from trio_router.core.config import LimitsConfig, TimeoutsConfig
from trio_router.core.dialects import Opaque
from trio_router.core.relay.filter import FilterEvent, FrameFilter
from trio_router.core.session.outcome import End, Side
from trio_router.core.session.state import SessionState
from trio_router.core.websocket.budget import ByteBudget
from trio_router.core.websocket.buffer import Scratch
from trio_router.net.connection import TcpConnection
from trio_router.net.poller import Poller
from trio_router.net.timers import Timers
from trio_router.relay.pair import Pair
from trio_router.relay.rules import RelayParts, make_pumps


def ignore(event: FilterEvent) -> None:
    """Nobody listens."""


@contextlib.asynccontextmanager
async def listening_pair() -> AsyncIterator[tuple[Pair, TcpConnection, socket.socket, socket.socket]]:
    """A pair whose replica connection is a real socket that is being read: with both ends of that."""
    with socket.create_server(("127.0.0.1", 0)) as server, Poller() as poller, contextlib.ExitStack() as stack:
        far = stack.enter_context(socket.create_connection(server.getsockname()))
        near = stack.enter_context(server.accept()[0])
        near.setblocking(False)
        unused, _ = (stack.enter_context(end) for end in socket.socketpair())
        client = TcpConnection(unused, Side.CLIENT, poller)
        connection = TcpConnection(near, Side.REPLICA, poller)
        frame_filter = FrameFilter(SessionState(), Opaque())
        parts = RelayParts(TimeoutsConfig(), LimitsConfig(), Scratch(), Timers(), ByteBudget(2**30))
        to_replica, to_client = make_pumps(parts, frame_filter, ignore)
        pair = Pair(client, to_replica, to_client, frame_filter)
        pair.set_replica(connection)
        to_client.read_from(connection)
        to_replica.write_to(connection)
        with trio.fail_after(BOUND_SECONDS / 4):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(poller.run)
                nursery.start_soon(to_client.run)
                yield pair, connection, near, far
                nursery.cancel_scope.cancel()


async def until(check: Callable[[], bool]) -> None:
    """No event tells it, and nothing depends on how often it is asked."""
    while not check():  # noqa: ASYNC110
        await trio.sleep(0.002)


async def test_a_peer_whose_large_frame_comes_in_drops_is_alive() -> None:
    timeouts = TimeoutsConfig()
    data = Frame(Opcode.BINARY, bytes(800_000)).serialize(mask=False)
    async with listening_pair() as (pair, connection, near, far):
        far.sendall(data[:100])
        await until(lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) > 1)
        for sent in range(100, 103):
            heard = connection.keepalive.last_received_at
            pair.check(heard + timeouts.ping_interval_seconds, timeouts, timeouts)
            far.sendall(data[sent : sent + 1])
            await until(lambda before=heard: connection.keepalive.last_received_at > before)  # type: ignore[misc]
            assert near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) > 1, "until the next ping"
            assert pair.to_client.end is None
            connection.keepalive.pinged_at = connection.keepalive.last_received_at


async def test_a_peer_that_says_nothing_in_the_middle_of_a_large_frame_is_dead() -> None:
    timeouts = TimeoutsConfig()
    async with listening_pair() as (pair, connection, near, far):
        far.sendall(Frame(Opcode.BINARY, bytes(800_000)).serialize(mask=False)[:100])
        await until(lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) > 1)
        now = connection.keepalive.last_received_at
        pair.check(now + timeouts.ping_interval_seconds, timeouts, timeouts)
        pair.check(now + timeouts.dead_peer_seconds, timeouts, timeouts)
        assert isinstance(pair.to_client.end, End)
        assert pair.to_client.end.cause == "dead"
