"""A connection that is not read from still hears that its peer has gone."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
import trio.testing
import trustme
from trio.testing import wait_all_tasks_blocked

from trio_router.core.session.outcome import Side
from trio_router.net.connection import Connection, RawStream, Signal, StreamConnection, TcpConnection
from trio_router.net.poller import Poller

UNREAD = b"x" * 100_000


@contextlib.asynccontextmanager
async def tls_ends(sock: socket.socket, poller: Poller) -> AsyncIterator[StreamConnection]:
    """The connection of a TLS server over ``sock``, whose handshake is not made: nothing of TLS is needed here."""
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)
    yield StreamConnection(
        trio.SSLStream(RawStream(sock, poller), context, server_side=True, https_compatible=True), Side.CLIENT
    )


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    """A TCP connection: (the router's end, the peer's)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    near.setblocking(False)
    return near, far


@pytest.fixture(params=["tcp", "tls"])
async def connection(
    request: pytest.FixtureRequest, ends: tuple[socket.socket, socket.socket], poller: Poller
) -> AsyncIterator[Connection]:
    near, far = ends
    with near, far:
        if request.param == "tcp":
            yield TcpConnection(near, Side.CLIENT, poller)
        else:
            async with tls_ends(near, poller) as made:
                yield made
        poller.closing(near.fileno())


def reset(far: socket.socket) -> None:
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()


async def when_waiting(connection: Connection, act: Callable[[], object]) -> Signal | None:
    """What `wait_hangup` returns, if ``act`` is called while it waits; None if it goes on waiting."""
    found: list[Signal] = []

    async def wait() -> None:
        found.append(await connection.wait_hangup())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not found, "it did not wait"
        act()
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    return found[0] if found else None


async def test_an_end_of_stream_is_heard_behind_unread_bytes(
    connection: Connection, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    far.sendall(UNREAD)
    assert await when_waiting(connection, lambda: far.shutdown(socket.SHUT_WR)) is Signal.ENDED
    assert not connection.broken, "the other direction may still be open"
    assert near.recv(10) == b"x" * 10, "what lay unread still does"


async def test_a_reset_is_heard_behind_unread_bytes(
    connection: Connection, ends: tuple[socket.socket, socket.socket]
) -> None:
    _, far = ends
    far.sendall(UNREAD)
    assert await when_waiting(connection, lambda: reset(far)) is Signal.ENDED
    assert (connection.broken, connection.broken_reason) == (True, "Connection reset by peer")


async def test_one_that_came_before_is_heard_at_once(
    connection: Connection, ends: tuple[socket.socket, socket.socket]
) -> None:
    _, far = ends
    far.sendall(UNREAD)
    reset(far)
    assert await connection.wait_hangup() is Signal.ENDED


async def test_bytes_are_no_hangup(
    connection: Connection, ends: tuple[socket.socket, socket.socket], poller: Poller
) -> None:
    assert await when_waiting(connection, lambda: ends[1].sendall(UNREAD)) is None
    assert poller.waiting == 0, "cancelling it took the socket out"


async def test_interrupt_ends_the_wait(connection: Connection, poller: Poller) -> None:
    assert await when_waiting(connection, connection.interrupt) is Signal.LOOK
    assert poller.waiting == 0


async def test_after_a_wait_for_a_hangup_the_connection_is_read_as_before(
    connection: Connection, ends: tuple[socket.socket, socket.socket], poller: Poller
) -> None:
    near, far = ends
    assert await when_waiting(connection, connection.interrupt) is Signal.LOOK
    far.sendall(b"abc")
    assert await poller.drive(near.fileno(), lambda: near.recv(10)) == b"abc"
    assert await when_waiting(connection, lambda: far.sendall(b"d")) is None
    assert await poller.drive(near.fileno(), lambda: near.recv(10)) == b"d"
    assert await when_waiting(connection, far.close) is Signal.ENDED


async def test_unread_bytes_keep_nobody_busy_meanwhile(
    connection: Connection, ends: tuple[socket.socket, socket.socket], poller: Poller
) -> None:
    turns: list[float] = []
    before = Poller._turn

    def count(self: Poller) -> None:
        turns.append(0)
        before(self)

    ends[1].sendall(UNREAD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Poller, "_turn", count)
        assert await when_waiting(connection, lambda: ends[1].sendall(b"more")) is None
    assert len(turns) <= 1


async def test_closing_the_connection_ends_the_wait(
    connection: Connection, ends: tuple[socket.socket, socket.socket]
) -> None:
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await connection.wait_hangup() in (Signal.ENDED, Signal.LOOK)

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await connection.aclose()
    with trio.fail_after(1):
        assert await connection.wait_hangup() is Signal.ENDED


async def test_a_stream_without_a_socket_waits_until_it_is_interrupted() -> None:
    connection = StreamConnection(trio.testing.memory_stream_pair()[0], Side.CLIENT)
    assert connection.delivery() is None
    assert await when_waiting(connection, lambda: None) is None
    assert await when_waiting(connection, connection.interrupt) is Signal.LOOK


async def test_a_socket_that_is_waited_for_cannot_be_read_meanwhile(
    ends: tuple[socket.socket, socket.socket], poller: Poller
) -> None:
    near, far = ends
    with near, far:
        connection = TcpConnection(near, Side.CLIENT, poller)

        async def refused(use: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(trio.BusyResourceError):
                await use()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.wait_hangup)
            await wait_all_tasks_blocked()
            await refused(lambda: poller.drive(near.fileno(), lambda: None))
            await refused(connection.wait_hangup)
            nursery.cancel_scope.cancel()
        poller.closing(near.fileno())
