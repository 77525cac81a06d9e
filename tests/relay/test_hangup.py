"""A leg that is not read from still hears that its peer has gone."""

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

from trio_router.core.outcome import Side
from trio_router.leg import Leg, RawStream, Signal, SocketLeg, StreamLeg
from trio_router.poller import Poller

UNREAD = b"x" * 100_000


@contextlib.asynccontextmanager
async def tls_ends(sock: socket.socket, poller: Poller) -> AsyncIterator[StreamLeg]:
    """The leg of a TLS server over ``sock``, whose handshake is not made: nothing of TLS is needed here."""
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)
    yield StreamLeg(
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
async def leg(
    request: pytest.FixtureRequest, ends: tuple[socket.socket, socket.socket], poller: Poller
) -> AsyncIterator[Leg]:
    near, far = ends
    with near, far:
        if request.param == "tcp":
            yield SocketLeg(near, Side.CLIENT, poller)
        else:
            async with tls_ends(near, poller) as made:
                yield made
        poller.closing(near.fileno())


def reset(far: socket.socket) -> None:
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()


async def when_waiting(leg: Leg, act: Callable[[], object]) -> Signal | None:
    """What `wait_hangup` returns, if ``act`` is called while it waits; None if it goes on waiting."""
    found: list[Signal] = []

    async def wait() -> None:
        found.append(await leg.wait_hangup())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not found, "it did not wait"
        act()
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    return found[0] if found else None


async def test_an_end_of_stream_is_heard_behind_unread_bytes(
    leg: Leg, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    far.sendall(UNREAD)
    assert await when_waiting(leg, lambda: far.shutdown(socket.SHUT_WR)) is Signal.ENDED
    assert not leg.gone, "the other direction may still be open"
    assert near.recv(10) == b"x" * 10, "what lay unread still does"


async def test_a_reset_is_heard_behind_unread_bytes(leg: Leg, ends: tuple[socket.socket, socket.socket]) -> None:
    _, far = ends
    far.sendall(UNREAD)
    assert await when_waiting(leg, lambda: reset(far)) is Signal.ENDED
    assert (leg.gone, leg.why_gone) == (True, "Connection reset by peer")


async def test_one_that_came_before_is_heard_at_once(leg: Leg, ends: tuple[socket.socket, socket.socket]) -> None:
    _, far = ends
    far.sendall(UNREAD)
    reset(far)
    assert await leg.wait_hangup() is Signal.ENDED


async def test_bytes_are_no_hangup(leg: Leg, ends: tuple[socket.socket, socket.socket], poller: Poller) -> None:
    assert await when_waiting(leg, lambda: ends[1].sendall(UNREAD)) is None
    assert poller.waiting == 0, "cancelling it took the socket out"


async def test_interrupt_ends_the_wait(leg: Leg, poller: Poller) -> None:
    assert await when_waiting(leg, leg.interrupt) is Signal.LOOK
    assert poller.waiting == 0


async def test_after_a_wait_for_a_hangup_the_leg_is_read_as_before(
    leg: Leg, ends: tuple[socket.socket, socket.socket], poller: Poller
) -> None:
    near, far = ends
    assert await when_waiting(leg, leg.interrupt) is Signal.LOOK
    far.sendall(b"abc")
    assert await poller.drive(near.fileno(), lambda: near.recv(10)) == b"abc"
    assert await when_waiting(leg, lambda: far.sendall(b"d")) is None
    assert await poller.drive(near.fileno(), lambda: near.recv(10)) == b"d"
    assert await when_waiting(leg, far.close) is Signal.ENDED


async def test_unread_bytes_keep_nobody_busy_meanwhile(
    leg: Leg, ends: tuple[socket.socket, socket.socket], poller: Poller
) -> None:
    turns: list[float] = []
    before = Poller._turn

    def count(self: Poller) -> None:
        turns.append(0)
        before(self)

    ends[1].sendall(UNREAD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Poller, "_turn", count)
        assert await when_waiting(leg, lambda: ends[1].sendall(b"more")) is None
    assert len(turns) <= 1


async def test_closing_the_leg_ends_the_wait(leg: Leg, ends: tuple[socket.socket, socket.socket]) -> None:
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await leg.wait_hangup() in (Signal.ENDED, Signal.LOOK)

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await leg.aclose()
    with trio.fail_after(1):
        assert await leg.wait_hangup() is Signal.ENDED


async def test_a_stream_without_a_socket_waits_until_it_is_interrupted() -> None:
    leg = StreamLeg(trio.testing.memory_stream_pair()[0], Side.CLIENT)
    assert leg.delivery() is None
    assert await when_waiting(leg, lambda: None) is None
    assert await when_waiting(leg, leg.interrupt) is Signal.LOOK


async def test_a_socket_that_is_waited_for_cannot_be_read_meanwhile(
    ends: tuple[socket.socket, socket.socket], poller: Poller
) -> None:
    near, far = ends
    with near, far:
        leg = SocketLeg(near, Side.CLIENT, poller)

        async def refused(use: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(trio.BusyResourceError):
                await use()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leg.wait_hangup)
            await wait_all_tasks_blocked()
            await refused(lambda: poller.drive(near.fileno(), lambda: None))
            await refused(leg.wait_hangup)
            nursery.cancel_scope.cancel()
        poller.closing(near.fileno())
