"""A router with parts of an embedder's own: a dialect, a policy, an access check, sinks of events. On real sockets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from quart_trio import QuartTrio
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from tests.mine import Mine
from tests.server.peers import BOUND_SECONDS, replica, viewer
from tests.server.router import all_closed, config_for, eventually, outcomes, session
from trio_router import (
    AccessDenied,
    AccessRequest,
    Events,
    Outcome,
    Policy,
    Refusal,
    Replica,
    Router,
    build_router_app,
    open_router,
    serve_router,
)

INIT = b"init ann wan"


class Last(Policy):
    """The last of the candidates."""

    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        return candidates[-1]


class Sink(Events):
    """Notes what ended and what was refused."""

    def __init__(self) -> None:
        self.ended: list[Outcome] = []
        self.refusals: list[Refusal] = []

    def session_ended(self, session: Any, outcome: Outcome) -> None:
        self.ended.append(outcome)

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)


class Gate:
    """An access check: a token in the query, and what else a test wants of it."""

    def __init__(self) -> None:
        self.asked: list[AccessRequest] = []
        self.error: Exception | None = None
        self.hold: trio.Event | None = None

    async def __call__(self, request: AccessRequest) -> AccessDenied | None:
        self.asked.append(request)
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        if request.parameter("token") != "t":
            return AccessDenied(401, "no_token", [("WWW-Authenticate", "Bearer")])
        return None


def answers(paths: list[str], status: int | None = None) -> Any:
    """Notes what a replica is asked for; 200 to the dialect's probes, ``status`` to upgrades."""

    def answer(ws: ServerConnection, request: Request) -> Response | None:
        paths.append(request.path)
        if request.path == Mine.probe_path:
            return ws.respond(200, "ready\n")
        return ws.respond(status, "no\n") if status is not None else None

    return answer


async def test_a_router_speaks_a_dialect_that_was_given_to_it() -> None:
    paths: list[str] = []
    sink = Sink()
    async with replica(answer=answers(paths)) as good, replica(answer=answers(paths, 409)) as taken:
        config = config_for(good.url, taken.url, dialect="mine", balance="last")
        with trio.fail_after(BOUND_SECONDS):
            async with open_router(config, dialects={"mine": Mine()}, policies={"last": Last}, events=[sink]) as router:
                await eventually(lambda: all(r.is_healthy for r in router.registry.replicas))
                assert set(paths) == {"/ready_to_work"}, "both were probed where the dialect says"
                assert [r.full_capacity for r in router.registry.replicas] == [2, 2]
                async with viewer(router.port) as client:
                    await client.send(INIT)
                    server = await good.accepted()
                    assert await server.recv() == INIT
                    await server.send("start")
                    await server.send(b"media")
                    assert await client.recv() == "start"
                    assert await client.recv() == b"media"
                    await server.send("done")
                    assert await client.recv() == "done"
                    assert await client.ended() == (1000, "")
                    assert await server.ended() == (1000, "")
                await all_closed(router)
                assert outcomes(router) == {"router.streaming.completed": 1}
    assert paths.count("/v1/stream") == 2, "the last one was asked first, and said 409"
    assert [(o.replica, len(o.tries), o.preset) for o in sink.ended] == [(good.url[7:], 1, "wan")]


async def test_a_path_that_was_configured_is_probed_whatever_the_dialect_says() -> None:
    asked: list[str] = []

    async def http_get(url: str, *, timeout: float) -> tuple[float | None, str | None]:
        asked.append(url)
        return 1.0, None

    config = config_for("http://replica.test", dialect="mine", health_check_path="/health")
    async with open_router(config, dialects={"mine": Mine()}, http_get=http_get):
        await eventually(lambda: bool(asked))
    assert set(asked) == {"http://replica.test/health"}


async def test_who_is_denied_gets_the_answer_and_is_no_session() -> None:
    gate, sink = Gate(), Sink()
    async with replica() as back:
        with trio.fail_after(BOUND_SECONDS):
            async with open_router(config_for(back.url), authorize=gate, events=[sink]) as router:
                await eventually(lambda: router.ready()[0])
                with pytest.raises(InvalidStatus) as denied:
                    async with viewer(router.port, "/v1/stream?token=wrong"):
                        pass
                assert denied.value.response.status_code == 401
                assert denied.value.response.headers["www-authenticate"] == "Bearer"
                assert router.services.session_table.opened_total == 0
                assert router.status()["router"]["refused"] == {"no_token": 1}
                assert [(r.reason, r.status, r.path) for r in sink.refusals] == [("no_token", 401, "/v1/stream")]
                async with session(router, back, path="/v1/stream?token=t") as (client, server):
                    await client.send("hello")
                    assert await server.recv() == "hello"
                assert [asked.headers["host"] for asked in gate.asked] == [f"127.0.0.1:{router.port}"] * 2


async def test_an_access_check_that_fails_lets_nobody_in_and_is_logged_once() -> None:
    gate = Gate()
    gate.error = LookupError("the embedder's bug")
    with trio.fail_after(BOUND_SECONDS):
        async with open_router(config_for("http://127.0.0.1:1"), authorize=gate) as router:
            with capture_logs() as logs, pytest.raises(InvalidStatus) as denied:
                async with viewer(router.port, "/v1/stream?token=t"):
                    pass
            assert denied.value.response.status_code == 503
            assert router.status()["router"]["refused"] == {"access_check_failed": 1}
            assert len([line for line in logs if line["event"] == "access check failed"]) == 1


async def test_the_check_is_not_asked_for_what_is_refused_anyway() -> None:
    gate = Gate()
    with trio.fail_after(BOUND_SECONDS):
        async with open_router(config_for("http://127.0.0.1:1"), authorize=gate) as router:
            with pytest.raises(InvalidStatus):
                async with viewer(router.port, "/elsewhere?token=t"):
                    pass
            assert router.status()["router"]["refused"] == {"unknown_path": 1}
    assert gate.asked == []


async def test_what_filled_up_while_the_check_thought_is_full() -> None:
    gate = Gate()
    gate.hold = trio.Event()
    async with replica() as back:
        with trio.fail_after(BOUND_SECONDS):
            async with open_router(config_for(back.url, limits={"max_sessions": 1}), authorize=gate) as router:
                await eventually(lambda: router.ready()[0])
                heard: list[int] = []

                async def come() -> None:
                    try:
                        async with viewer(router.port, "/v1/stream?token=t"):
                            await over.wait()
                    except InvalidStatus as exc:
                        heard.append(exc.response.status_code)
                        over.set()

                over = trio.Event()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(come)
                    nursery.start_soon(come)
                    await eventually(lambda: len(gate.asked) == 2)
                    gate.hold.set()
                assert heard == [503]
                assert router.status()["router"]["refused"] == {"max_sessions": 1}


@pytest.mark.parametrize("door", ["serve", "app"])
async def test_every_door_takes_the_same_parts(door: str) -> None:
    gate, sink = Gate(), Sink()
    parts: dict[str, Any] = {
        "dialects": {"mine": Mine()},
        "policies": {"last": Last},
        "events": [sink],
        "authorize": gate,
    }
    config = config_for("http://127.0.0.1:1", dialect="mine", balance="last")
    if door == "app":
        assert isinstance(build_router_app(config, **parts), QuartTrio)
        return
    with trio.fail_after(BOUND_SECONDS):
        async with trio.open_nursery() as nursery:
            start: Any = serve_router
            router: Router = await nursery.start(lambda task_status: start(config, task_status=task_status, **parts))
            with pytest.raises(InvalidStatus):
                async with viewer(router.port):
                    pass
            nursery.cancel_scope.cancel()
    assert [refusal.reason for refusal in sink.refusals] == ["no_token"]


async def test_the_log_and_the_table_know_the_clients_port() -> None:
    async with replica() as back:
        with trio.fail_after(BOUND_SECONDS):
            async with open_router(config_for(back.url)) as router:
                await eventually(lambda: router.ready()[0])
                with capture_logs() as logs:
                    async with session(router, back) as (client, _):
                        port = client.ws.socket.getsockname()[1]
                        assert [one.port for one in router.services.session_table] == [port]
                        await client.close(1000)
                    await all_closed(router)
    told = {line["event"]: line["client_port"] for line in logs if line["event"].startswith("session ")}
    assert told == {"session opened": port, "session ended": port}
