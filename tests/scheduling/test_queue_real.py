"""Slots, line and moving on, against demo replicas on real sockets: order, lingering GPUs, silent clients."""

from __future__ import annotations

import contextlib
from functools import partial

import trio

from tests.scheduling.real import Gate, Viewer, eventually, outcomes, routing, sessions_on, start_replica, viewing
from trio_router.core.replicas.replica import Replica
from trio_router.demo.client import open_session


async def test_six_clients_through_two_replicas_are_served_in_order(nursery: trio.Nursery) -> None:
    gate, turns = Gate(), list[int]()
    urls = [(await start_replica(nursery, name, pace=gate.pace))[0] for name in ("one", "two")]

    async def watch(number: int, client: Viewer) -> None:
        if client.replica is None:
            await client.served()
        turns.append(number)
        await client.segment()
        await client.socket.aclose()

    async with routing(*urls) as router, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(viewing(router)) for _ in range(6)]
        async with trio.open_nursery() as viewers:
            for number, client in enumerate(clients):
                assert await client.join() == (number < 2)
                viewers.start_soon(watch, number, client)
            gate.opened.set()
        # Two become free at once: who of a pair hears it first is chance, not order.
        assert [sorted(turns[at : at + 2]) for at in (0, 2, 4)] == [[0, 1], [2, 3], [4, 5]]
        for number, client in enumerate(clients[2:], start=1):
            assert client.places[0] == number
            assert client.places == sorted(client.places, reverse=True), "it goes down"
        assert {client.replica for client in clients} == {"one", "two"}
        await eventually(lambda: not router.services.session_table.open)
        assert all(outcome.tries == () for outcome in outcomes(router)), "nobody was rejected"
    nursery.cancel_scope.cancel()


async def test_a_gpu_that_is_still_busy_is_not_given_away(nursery: trio.Nursery) -> None:
    """The first client leaves in the middle of its segment; the second one's turn comes when the GPU is free."""
    gate = Gate()
    url, _ = await start_replica(nursery, "one", pace=gate.pace)
    async with routing(url) as router:
        replica = router.registry.replicas[0]
        async with viewing(router) as first:
            assert await first.join()
            await first.say("segment_prompt_source", prompt="a fox")
            await first.hear_of("ltx2_segment_start")
        await eventually(lambda: len(replica.lingering_since) == 1)
        left_at = replica.lingering_since[0]
        async with viewing(router) as second:
            assert not await second.join()
            for _ in range(3):  # reports that were asked for after it had left
                asked = max(left_at, replica.report.asked_at if replica.report else 0)
                await eventually(partial(asked_later, replica, asked))
                assert (replica.held, len(replica.lingering_since)) == (0, 1)
            assert await sessions_on(url) == 1
            gate.opened.set()
            await second.served()
            await second.segment()
        await eventually(lambda: not router.services.session_table.open)
        assert [outcome.tries for outcome in outcomes(router)] == [(), ()], "it was not rejected"
    nursery.cancel_scope.cancel()


async def test_a_session_that_somebody_has_there_directly_counts(nursery: trio.Nursery) -> None:
    url, _ = await start_replica(nursery, "one")
    async with routing(url) as router, viewing(router) as client:
        replica = router.registry.replicas[0]
        async with open_session(url.replace("http:", "ws:") + "/v1/stream") as socket:
            await Viewer(socket).join()
            await eventually(lambda: replica.others == 1)
            assert not await client.join()
        await client.served()
    assert all(outcome.tries == () for outcome in outcomes(router))
    nursery.cancel_scope.cancel()


def asked_later(replica: Replica, moment: float) -> bool:
    """Whether the last report was asked for behind that moment."""
    return replica.report is not None and replica.report.asked_at > moment


REQUEST = (
    b"GET /v1/stream HTTP/1.1\r\nhost: r\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def test_500_silent_clients_hold_no_gpu(nursery: trio.Nursery) -> None:
    url, _ = await start_replica(nursery, "one")
    async with routing(url, timeouts={"first_message_seconds": 60}) as router, contextlib.AsyncExitStack() as stack:
        for _ in range(500):
            stream = await trio.open_tcp_stream("127.0.0.1", router.port or 0)
            await stack.enter_async_context(stream)
            await stream.send_all(REQUEST)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
        replica = router.registry.replicas[0]
        assert (len(router.services.session_table.open), replica.taken, replica.sessions_total) == (500, 0, 0)
        assert await sessions_on(url) == 0
        async with viewing(router) as client:
            assert await client.join()
            await client.segment()
        assert (replica.sessions_total, client.places) == (1, [])
    nursery.cancel_scope.cancel()
