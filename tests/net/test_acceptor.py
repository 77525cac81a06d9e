"""The acceptor: what connects is handed over; what goes wrong with one connection costs no other."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from trio_router.core.errors import OWN_SHORTAGE, StartError
from trio_router.net import acceptor
from trio_router.net.acceptor import accept, listen
from trio_router.net.connection import bare_socket
from trio_router.net.poller import Poller


class Guests:
    """Who was welcomed."""

    def __init__(self) -> None:
        self.came: list[tuple[socket.socket, str]] = []
        self.ports: list[int] = []
        self._more = trio.Event()
        self._ends = contextlib.ExitStack()

    def connect(self, address: tuple[str, int]) -> socket.socket:
        return self._ends.enter_context(socket.create_connection(address))

    def welcome(self, sock: socket.socket, client: str, port: int) -> None:
        self.ports.append(port)
        self.came.append((self._ends.enter_context(sock), client))
        self._more.set()

    async def count(self, wanted: int) -> None:
        while len(self.came) < wanted:
            self._more = trio.Event()
            await self._more.wait()

    def close(self) -> None:
        self._ends.close()


class Faulty:
    """A listening socket whose first accepts fail."""

    def __init__(self, sock: socket.socket, *faults: int) -> None:
        self._sock = sock
        self._faults = list(faults)

    def accept(self) -> tuple[socket.socket, Any]:
        if self._faults:
            number = self._faults.pop(0)
            raise OSError(number, errno.errorcode[number])
        return self._sock.accept()

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()


def faulty(sock: socket.socket, *faults: int) -> socket.socket:
    return cast("socket.socket", Faulty(sock, *faults))


async def listening_socket() -> socket.socket:
    (listener,) = await listen("127.0.0.1", 0)
    return bare_socket(listener.socket)


@pytest.fixture
async def guests() -> AsyncIterator[Guests]:
    guests = Guests()
    yield guests
    guests.close()


async def test_connections_are_handed_over_as_the_relay_wants_them(
    poller: Poller, guests: Guests, nursery: trio.Nursery
) -> None:
    listening = await listening_socket()
    address = listening.getsockname()
    nursery.start_soon(accept, listening, poller, guests.welcome)
    clients = [guests.connect(address) for _ in range(3)]
    await guests.count(3)
    assert guests.ports == [client.getsockname()[1] for client in clients]
    for client, (sock, ip) in zip(clients, guests.came, strict=True):
        assert ip == "127.0.0.1"
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.send(b"hello")
        assert client.recv(10) == b"hello"


async def test_a_crowd_that_connected_before_is_accepted_to_the_last(
    poller: Poller, guests: Guests, nursery: trio.Nursery
) -> None:
    listening = await listening_socket()
    crowd = 2 * acceptor.ACCEPTS_PER_TURN + 1
    for _ in range(crowd):
        guests.connect(listening.getsockname())
    nursery.start_soon(accept, listening, poller, guests.welcome)
    await guests.count(crowd)


@pytest.fixture
def logs_with(poller: Poller, guests: Guests, nursery: trio.Nursery) -> Callable[[int], Awaitable[list[EventDict]]]:
    """What is logged until one connection is accepted, after two accepts failed with this error."""

    async def run(fault: int) -> list[EventDict]:
        listening = await listening_socket()
        guests.connect(listening.getsockname())
        with capture_logs() as logs:
            nursery.start_soon(accept, faulty(listening, fault, fault), poller, guests.welcome)
            await guests.count(1)
        return list(logs)

    return run


@pytest.mark.parametrize("fault", sorted(acceptor.NEXT_PLEASE))
async def test_the_trouble_of_one_connection_is_not_the_listeners(
    fault: int, logs_with: Callable[[int], Awaitable[list[EventDict]]]
) -> None:
    assert await logs_with(fault) == []


@pytest.mark.parametrize("fault", sorted(OWN_SHORTAGE))
async def test_out_of_files_is_told_and_waited_for(
    fault: int, logs_with: Callable[[int], Awaitable[list[EventDict]]]
) -> None:
    logs = await logs_with(fault)
    assert [entry["event"] for entry in logs] == ["cannot accept"] * 2
    assert "ulimit" in logs[0]["hint"]


async def test_a_listening_socket_that_is_no_good_is_not_asked_for_ever(poller: Poller, guests: Guests) -> None:
    listening = await listening_socket()
    with socket.create_connection(listening.getsockname()), pytest.raises(OSError, match="EINVAL"):
        await accept(faulty(listening, errno.EINVAL), poller, guests.welcome)
    assert poller.waiting == 0


async def test_cancelled_it_listens_no_more(poller: Poller, guests: Guests) -> None:
    listening = await listening_socket()
    address = listening.getsockname()
    with trio.move_on_after(0.01):
        await accept(listening, poller, guests.welcome)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert poller.waiting == 0


async def test_an_address_that_is_taken_is_said_so() -> None:
    (listener,) = await listen("127.0.0.1", 0)
    port = listener.socket.getsockname()[1]
    async with listener:
        with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await listen("127.0.0.1", port)
