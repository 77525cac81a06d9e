"""What the kernel tells of bytes that were written: those that a slow reader takes are its signs of life."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio

from trio_router.core.config import TimeoutsConfig
from trio_router.core.session.liveness import Delivery, KeepaliveAction
from trio_router.core.session.outcome import Side
from trio_router.net.acceptor import accept
from trio_router.net.connection import RawStream, StreamConnection, TcpConnection
from trio_router.net.connection.kernel import UNSENT_BYTES, delivery_of
from trio_router.net.poller import Poller

TIMEOUTS = TimeoutsConfig(ping_interval_seconds=20.0, dead_peer_seconds=60.0)
SEGMENT_BYTES = 64 * 1024  # what a send may go beyond the bound


@pytest.fixture
async def ends(poller: Poller, nursery: trio.Nursery) -> tuple[socket.socket, socket.socket]:
    """A connection that the router accepted, and its client's end, whose window is small."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    accepted: list[socket.socket] = []
    came = trio.Event()

    def welcome(connection: socket.socket, _: str, port: int) -> None:
        accepted.append(connection)
        came.set()

    nursery.start_soon(accept, listening, poller, welcome)
    far = socket.socket()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    far.connect(listening.getsockname())
    await came.wait()
    return accepted[0], far


@pytest.fixture
def near(ends: tuple[socket.socket, socket.socket]) -> Iterator[socket.socket]:
    with ends[0], ends[1]:
        yield ends[0]


@pytest.fixture
def far(near: socket.socket, ends: tuple[socket.socket, socket.socket]) -> socket.socket:
    return ends[1]


def fill(connection: TcpConnection) -> int:
    """Write until nothing more is accepted; how much was."""
    total = 0
    while sent := connection.send_nowait(memoryview(bytes(SEGMENT_BYTES))):
        total += sent
    return total


def drain(far: socket.socket, size: int) -> None:
    while size:
        size -= len(far.recv(min(size, SEGMENT_BYTES)))


async def test_a_silent_peer_that_reads_slowly_gets_little_more_than_its_window_from_then_on(
    near: socket.socket, far: socket.socket, poller: Poller
) -> None:
    connection = TcpConnection(near, Side.CLIENT, poller)
    waits = fill(connection)
    assert waits > UNSENT_BYTES + 6 * SEGMENT_BYTES, "what the kernel takes by itself is several mebibytes"
    connection.reset_low_water()
    drain(far, waits)
    assert fill(connection) <= UNSENT_BYTES + 6 * SEGMENT_BYTES
    delivery = connection.delivery()
    assert delivery is not None
    assert 0 < delivery.unsent <= UNSENT_BYTES + SEGMENT_BYTES


async def test_a_silent_peer_that_keeps_up_is_not_bounded(
    near: socket.socket, far: socket.socket, poller: Poller
) -> None:
    connection = TcpConnection(near, Side.CLIENT, poller)
    connection.reset_low_water()
    assert fill(connection) > UNSENT_BYTES + 6 * SEGMENT_BYTES


async def test_reading_moves_what_is_acknowledged_and_nothing_else_does(
    near: socket.socket, far: socket.socket, poller: Poller
) -> None:
    connection = TcpConnection(near, Side.CLIENT, poller)
    total = fill(connection)
    seen = [connection.delivery(), connection.delivery()]
    assert seen[0] == seen[1]
    while total > 2 * SEGMENT_BYTES:
        drain(far, SEGMENT_BYTES)
        total -= SEGMENT_BYTES
    drain(far, total)
    last = connection.delivery()
    assert seen[0] is not None
    assert last is not None
    assert last.acknowledged > seen[0].acknowledged
    assert last.unsent == 0


async def test_a_client_that_reads_slowly_lives_and_one_that_stops_is_dead(
    near: socket.socket, far: socket.socket, poller: Poller
) -> None:
    """Pings to it wait for all that it has not read; no byte comes from it."""
    connection = TcpConnection(near, Side.CLIENT, poller)
    verdicts, start = [], connection.keepalive.last_received_at
    fill(connection)
    for number in range(1, 20):  # steadily: 380 s
        verdicts.append(connection.keepalive.check(start + 20.0 * number, TIMEOUTS, connection.delivery()))
        drain(far, 3 * SEGMENT_BYTES)
        fill(connection)
    assert verdicts == [KeepaliveAction.PING] + [KeepaliveAction.FINE] * 18
    stopped = [
        connection.keepalive.check(start + 380.0 + 20.0 * number, TIMEOUTS, connection.delivery())
        for number in range(1, 5)
    ]
    assert stopped == [KeepaliveAction.FINE, KeepaliveAction.PING, KeepaliveAction.PING, KeepaliveAction.DEAD]


async def test_connections_over_streams_know_it_where_they_know_the_socket(
    near: socket.socket, far: socket.socket, poller: Poller
) -> None:
    raw = RawStream(near, poller)
    connection = StreamConnection(raw, Side.CLIENT)
    assert connection.delivery() == Delivery(0, 0)
    await connection.aclose()
    assert connection.delivery() is None


async def test_a_closed_connection_knows_nothing(near: socket.socket, far: socket.socket, poller: Poller) -> None:
    connection = TcpConnection(near, Side.CLIENT, poller)
    connection.abort()
    assert connection.delivery() is None


def test_a_kernel_that_cannot_say_is_no_error() -> None:
    class OldKernel(socket.socket):
        def getsockopt(self, *_: object) -> bytes:  # type: ignore[override]
            return bytes(104)

    with OldKernel() as old:
        assert delivery_of(old) is None
    near, far = socket.socketpair()
    with near, far:
        assert delivery_of(near) is None
