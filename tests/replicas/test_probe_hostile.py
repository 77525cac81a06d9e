"""Replicas that answer probes with what nobody expects: no answer ends the loop, fills memory or reaches another replica."""

from __future__ import annotations

import gzip
import json
import socket
import struct

import pytest
import trio

from tests.replicas.hostile import Heard, Hostile, Reply, always, answer, hostile
from trio_router import Replica, ReplicaEndpoint, ReplicaRegistry, RouterConfig, run_health_check_loop
from trio_router.cli.check import probe_replicas
from trio_router.core.replicas.report import MOST
from trio_router.replicas.probe_client import BODY_BYTES, BODY_PIECES
from trio_router.replicas.probes import probe_once

Clock = trio.testing.MockClock
FOUR = json.dumps({"total_gpus": 4, "available_gpus": 1}).encode()
LONG = b'{"total_gpus": 1, "available_gpus": 1, "padding": "' + b"x" * BODY_BYTES + b'"}'
TOO_LONG = "its body is longer than 64 KiB"


def registry_of(*servers: Hostile) -> ReplicaRegistry:
    config = RouterConfig(replicas=tuple(ReplicaEndpoint(server.url) for server in servers), failure_threshold=1)
    return ReplicaRegistry(config)


async def probed(reply: Reply) -> Replica:
    async with hostile(reply) as server:
        registry = registry_of(server)
        await probe_once(registry, registry.config)
        return registry.replicas[0]


BRACKETS, HUGE = b"[" * 60_000, b"1" + b"0" * 400


@pytest.mark.parametrize("path", ["/health", "/readyz"])
@pytest.mark.parametrize("body", [BRACKETS, b'{"a":' * 13_000, b"\xff\xfe\x00", b"9" * 65_000, b'{"total_gpus":'])
async def test_a_body_that_is_no_json_object_is_a_good_answer_that_says_nothing(path: str, body: bytes) -> None:
    replica = await probed(always({"/health": answer(b"{}"), "/readyz": answer(b"{}"), path: answer(body)}))
    assert (str(replica.health.status), replica.report, replica.health.last_error) == ("healthy", None, None)


async def test_counts_beyond_reason_are_cut_before_anybody_calculates_with_them() -> None:
    ready = b'{"total_gpus": %s, "available_gpus": 0}' % HUGE
    async with hostile(always({"/health": answer(b'{"sessions": %s}' % HUGE), "/readyz": answer(ready)})) as server:
        registry = registry_of(server)
        await probe_once(registry, registry.config)
    replica = registry.replicas[0]
    assert (replica.full_capacity, replica.others, replica.free(0.0)) == (MOST, MOST, False)
    replica.others = 0
    assert registry.reserve(now=0.0) is not None


async def test_a_bomb_of_gzip_is_not_unpacked() -> None:
    bomb = answer(gzip.compress(b"0" * 50_000_000), "content-encoding: gzip")
    async with hostile(always({"/health": bomb, "/readyz": bomb})) as server:
        registry = registry_of(server)
        await probe_once(registry, registry.config)
    health = registry.replicas[0].health
    assert "\r\naccept-encoding: identity\r\n" in server.heads[0]
    encoded = "its body is encoded (gzip), though that was not asked for"
    assert (str(health.status), health.last_error) == ("healthy", f"/health: {encoded}; /readyz: {encoded}")


async def test_an_endless_body_is_read_up_to_its_limit_and_no_further() -> None:
    sent = 0

    async def reply(path: str, stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * BODY_BYTES)
            sent += BODY_BYTES

    replica = await probed(reply)
    assert (str(replica.health.status), replica.report) == ("healthy", None)
    assert replica.health.last_error == f"/health: {TOO_LONG}; /readyz: {TOO_LONG}"
    assert sent < 64 * 2**20  # what the kernel's buffers hold, and not what two seconds carry


async def test_a_body_of_tiny_pieces_is_given_up_before_it_is_long() -> None:
    async def reply(path: str, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"1\r\nx\r\n" * 1000)

    replica = await probed(reply)
    pieces = f"its body comes in more than {BODY_PIECES} pieces"
    assert (str(replica.health.status), replica.health.last_error) == (
        "healthy",
        f"/health: {pieces}; /readyz: {pieces}",
    )


@pytest.mark.parametrize(("size", "read"), [(BODY_BYTES, True), (BODY_BYTES + 1, False)])
async def test_a_body_is_parsed_up_to_64_kib(size: int, read: bool) -> None:
    body = FOUR + b" " * (size - len(FOUR))
    replica = await probed(always({"/health": answer(), "/readyz": answer(body)}))
    assert replica.full_capacity == (4 if read else 1)
    assert replica.health.last_error == (None if read else f"/readyz: {TOO_LONG}")


@pytest.mark.parametrize(
    "unreadable", [answer(LONG), answer(FOUR, "content-encoding: br"), b"HTTP/1.1 200", b"\x00\n\n"]
)
async def test_a_report_that_cannot_be_read_leaves_the_last_one_as_it_was(unreadable: bytes) -> None:
    pages = {"/health": answer(b'{"sessions": 3}'), "/readyz": answer(FOUR)}
    async with hostile(always(pages)) as server:
        registry = registry_of(server)
        replica = registry.replicas[0]
        await probe_once(registry, registry.config)
        before = replica.report
        assert (replica.full_capacity, replica.others, replica.health.last_error) == (4, 3, None)
        pages["/readyz"] = unreadable
        await probe_once(registry, registry.config)
        assert (replica.full_capacity, replica.others, replica.report) == (4, 3, before)
        assert (replica.health.last_error or "").startswith("/readyz: ")
        assert str(replica.health.status) == "healthy"


async def test_cookies_of_one_replica_reach_neither_another_nor_itself() -> None:
    baked = {path: answer(b"{}", "set-cookie: secret=1; Path=/") for path in ("/health", "/readyz")}
    async with hostile(always(baked)) as one, hostile(always(baked)) as two:
        registry = registry_of(one, two)
        for _ in range(2):
            await probe_once(registry, registry.config)
        assert [str(replica.health.status) for replica in registry.replicas] == ["healthy", "healthy"]
        assert len(one.heads) == len(two.heads) == 4
        assert not [head for head in one.heads + two.heads if "cookie" in head]


async def test_a_redirect_is_a_good_answer_and_is_not_followed() -> None:
    async with hostile(always({})) as other:
        to_other = answer(b"", f"location: {other.url}/elsewhere", status=302)
        async with hostile(always({"/health": to_other, "/readyz": to_other})) as server:
            registry = registry_of(server)
            await probe_once(registry, registry.config)
            assert str(registry.replicas[0].health.status) == "healthy"
            assert server.paths == ["/health", "/readyz"]
        assert other.heads == []


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_a_body_that_comes_drop_by_drop_has_the_timeout_for_all_of_it(path: str, mock_clock: Clock) -> None:
    """Time goes on only with each byte, half a second at a time: no single wait is long."""
    drops = 0

    async def reply(asked: str, stream: trio.SocketStream) -> None:
        nonlocal drops
        if asked != path:
            await stream.send_all(answer(b"{}"))
            return
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            await stream.send_all(b"{")
            drops += 1
            assert drops < 100
            await trio.testing.wait_all_tasks_blocked(0.001)
            mock_clock.jump(0.5)

    replica = await probed(reply)
    late = "no answer within 2 s"
    if path == "/health":
        assert (str(replica.health.status), replica.health.last_error) == ("unhealthy", late)
    else:
        assert (str(replica.health.status), replica.health.last_error) == ("healthy", f"/readyz: {late}")


async def test_what_cannot_be_read_is_told_once_until_it_is_something_else() -> None:
    pages = {"/health": answer(b"{}"), "/readyz": answer(LONG)}
    heard = Heard()
    async with hostile(always(pages)) as server, trio.open_nursery() as nursery:
        config = RouterConfig(replicas=(ReplicaEndpoint(server.url),), health_check_interval_seconds=0.001)
        registry = ReplicaRegistry(config)

        async def loop() -> None:
            await run_health_check_loop(registry, config, events=heard)

        async def turns(count: int) -> None:
            end = len(server.heads) + 2 * count
            while len(server.heads) < end:  # noqa: ASYNC110  told by no event
                await trio.sleep(0.001)

        nursery.start_soon(loop)
        for readyz in (LONG, LONG, FOUR, LONG):
            pages["/readyz"] = answer(readyz)
            await turns(3)
        nursery.cancel_scope.cancel()
    assert heard.told == ["healthy: None", f"unread: /readyz: {TOO_LONG}", f"unread: /readyz: {TOO_LONG}"]


@pytest.mark.parametrize(
    ("bytes_", "error"),
    [
        (b"", "RemoteProtocolError: Server disconnected without sending a response."),
        (b"\x1b[31m\r\n\r\n", "RemoteProtocolError: illegal status line"),
        (b"\x1b[31m" + b"x" * 50_000 + b"\r\n\r\n", "RemoteProtocolError: illegal status line"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, "RemoteProtocolError: "),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "RemoteProtocolError: peer closed connection"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure_in_one_short_line(bytes_: bytes, error: str) -> None:
    replica = await probed(always({"/health": bytes_}))
    said = replica.health.last_error or ""
    assert said.startswith(error)
    assert len(said) <= 300
    assert said.isprintable()
    assert str(replica.health.status) == "unhealthy"


async def test_the_check_of_a_configuration_says_what_cannot_be_read() -> None:
    async with hostile(always({"/health": answer(), "/readyz": answer(LONG)})) as server:
        registry = registry_of(server)
        rows, unanswered = await probe_replicas(registry.config)
    assert unanswered == 0
    assert rows.startswith(f"  {registry.replicas[0].label}: ok in ")
    assert rows.endswith(f" ms; /readyz: {TOO_LONG}")


async def test_a_reset_is_told_with_its_errno() -> None:
    async def reply(path: str, stream: trio.SocketStream) -> None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    replica = await probed(reply)
    assert replica.health.last_error == "ReadError: [Errno 104] Connection reset by peer"
