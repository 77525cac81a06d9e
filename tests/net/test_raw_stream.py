"""`RawStream` does what Trio asks of a stream, by Trio's own checks; and what the handshake asks of it beside."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from trio_router.net.connection import RawStream
from trio_router.net.poller import Poller

Ends = tuple[RawStream, RawStream]


def connection() -> tuple[socket.socket, socket.socket]:
    """TCP on the loopback; neither end blocks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


@pytest.fixture
async def ends(poller: Poller) -> AsyncIterator[Ends]:
    near, far = (RawStream(sock, poller) for sock in connection())
    async with near, far:
        yield near, far


async def test_it_is_a_stream_as_trio_understands_it(poller: Poller) -> None:
    async def make() -> Ends:
        near, far = socket.socketpair()  # not TCP, whose full buffers go on draining into one another for a while
        near.setblocking(False)
        far.setblocking(False)
        return RawStream(near, poller), RawStream(far, poller)

    async def make_clogged() -> Ends:
        ends = await make()
        for end in ends:
            with contextlib.suppress(BlockingIOError):
                while True:
                    end.socket.send(bytes(1 << 20))
        return ends

    await check_half_closeable_stream(make, make_clogged)
    assert poller.waiting == 0


async def test_what_is_accepted_at_once_is_told(ends: Ends) -> None:
    near, far = ends
    assert near.send_nowait(b"hello") == 5
    assert await far.receive_some() == b"hello"
    while near.send_nowait(bytes(1 << 20)):
        pass  # until the kernel's buffers are full
    assert near.send_nowait(b"x") == 0


async def test_a_connection_that_broke(ends: Ends) -> None:
    near, far = ends
    far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await far.aclose()
    with pytest.raises(trio.BrokenResourceError, match="Connection reset by peer"):
        await near.receive_some()
    with pytest.raises(trio.BrokenResourceError, match="Broken pipe"):
        near.send_nowait(b"x")


async def test_closing_ends_who_reads_and_who_writes(ends: Ends, nursery: trio.Nursery) -> None:
    near, _ = ends
    ended: list[str] = []

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await near.receive_some()
        ended.append("reader")

    async def write() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await near.send_all(bytes(1 << 26))
        ended.append("writer")

    nursery.start_soon(read)
    nursery.start_soon(write)
    await wait_all_tasks_blocked(0.01)
    await near.aclose()
    await wait_all_tasks_blocked(0.01)
    assert sorted(ended) == ["reader", "writer"]
    with pytest.raises(trio.ClosedResourceError):
        near.send_nowait(b"x")
