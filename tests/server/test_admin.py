"""The admin API over real sockets: who may what, what each call answers, and that its changes hold at once."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import structlog.testing
import trio

from tests.server.admin import OPERATOR, TOKENS, VIEWER, WRONG, desk
from tests.server.peers import BOUND_SECONDS, replica, viewer
from tests.server.router import all_closed, config_for, eventually, get, outcomes, refusing_port
from trio_router import Router
from trio_router.core.errors import StartError
from trio_router.operations.admin.routes import ROUTES

#: method, path, body, an operator's status, a viewer's. R is the replica's name, S the id of an open session.
CALLS: list[tuple[str, str, Any, int, int]] = [
    ("GET", "/replicas", None, 200, 200),
    ("GET", "/replicas/R", None, 200, 200),
    ("GET", "/replicas/none", None, 404, 404),
    ("POST", "/replicas", {"url": "http://127.0.0.1:9", "name": "new"}, 201, 403),
    ("POST", "/replicas", {"url": "ftp://x"}, 422, 403),
    ("POST", "/replicas", b"{", 400, 403),
    ("PATCH", "/replicas/R", {"weight": 2}, 200, 403),
    ("PATCH", "/replicas/none", {"weight": 2}, 404, 403),
    ("PATCH", "/replicas/R", {"weight": 0}, 422, 403),
    ("DELETE", "/replicas/new", None, 202, 403),
    ("DELETE", "/replicas/none", None, 404, 403),
    ("GET", "/sessions", None, 200, 200),
    ("POST", "/sessions/S/move", None, 409, 403),
    ("POST", "/sessions/none/move", None, 404, 403),
    ("DELETE", "/sessions/none", None, 404, 403),
    ("DELETE", "/sessions/S", {"code": 1006}, 422, 403),
    ("DELETE", "/sessions/S", None, 202, 403),
    ("GET", "/queue", None, 200, 200),
    ("GET", "/config", None, 200, 200),
    ("GET", "/openapi.json", None, 200, 200),
    ("POST", "/reload", None, 409, 403),
    ("GET", "/nothing", None, 404, 404),
    ("PUT", "/queue", None, 405, 403),
    ("POST", "/drain", None, 202, 403),
]


@pytest.mark.parametrize("by_socket", [False, True])
async def test_each_call_answers_each_token_as_the_table_says(tmp_path: Path, by_socket: bool) -> None:
    admin = {"socket": str(tmp_path / "admin.sock")} if by_socket else {"port": 0}
    async with replica() as back, desk(back.url, admin={**admin, "tokens": TOKENS}) as one:
        label = one.router.registry.replicas[0].label
        async with viewer(one.router.port):
            await back.accepted()
            (session,) = one.router.services.session_table.open
            for method, path, body, operator, look in CALLS:
                path = path.replace("R", label).replace("/S", f"/{session}")
                for token, status in (
                    (None, 401),
                    (WRONG, 401),
                    (VIEWER[:-1], 401),
                    (VIEWER, look),
                    (OPERATOR, operator),
                ):
                    one.token = token
                    answer = await one.ask(method, path, body)
                    assert answer.status_code == status, (method, path, token, answer.text)
                    if status >= 400:
                        assert answer.headers["content-type"] == "application/problem+json"
                        assert answer.json()["status"] == status
                        assert answer.json()["detail"]
                    if status == 401:
                        assert answer.headers["www-authenticate"].startswith("Bearer")
                one.token = OPERATOR


async def test_every_route_is_in_the_table_of_this_file() -> None:
    asked = {
        (method, path.replace("/R", "/{name}").replace("/S", "/{name}").replace("/new", "/{name}"))
        for method, path, *_ in CALLS
    }
    assert {(route.method, route.path) for route in ROUTES} - asked == {("GET", "/events")}


async def test_nothing_of_it_is_on_the_stream_port() -> None:
    async with replica() as back, desk(back.url, status_port=0) as one:
        for port in (one.router.port, one.router.status_port):
            headers = {"authorization": f"Bearer {OPERATOR}"}
            for path in ("/api/v1/replicas", "/api/v1/config", "/api/v1/openapi.json"):
                assert (await get(one.router, path, port=port, headers=headers)).status_code == 404
        answer = await one.http.get("/status")
        assert answer.status_code == 401, "nor are the stream port's pages here"


async def test_replicas_sessions_and_queue_are_as_in_status() -> None:
    async with replica() as back, desk(back.url) as one, viewer(one.router.port):
        await back.accepted()
        status = one.router.status()
        (found,) = (await one.get("/replicas"))["replicas"]
        assert found.keys() == status["replicas"][0].keys()
        assert (await one.get(f"/replicas/{found['name']}"))["open_sessions"] == 1
        (session,) = (await one.get("/sessions"))["sessions"]
        assert session.keys() == status["sessions"][0].keys()
        assert await one.get("/queue") == {"queue": []}


async def test_an_added_replica_serves_after_its_first_good_probe() -> None:
    async with replica() as first, replica() as second, desk(first.url) as one:
        answer = await one.ask("POST", "/replicas", {"url": second.url, "name": "rack 1/b", "max_sessions": 3})
        assert (answer.status_code, answer.json()["status"]) == (201, "unknown")
        assert answer.headers["content-type"] == "application/json"
        assert (
            await one.ask("PATCH", f"/replicas/{one.router.registry.replicas[0].label}", {"admin": "drain"})
        ).json()["admin"] == "drain"
        await eventually(lambda: one.router.registry.replicas[1].is_healthy)
        async with viewer(one.router.port) as client:
            end = await second.accepted()
            await client.send("hello")
            assert await end.recv() == "hello"
        assert (await one.get("/replicas/rack 1/b"))["capacity"] == 3


async def test_who_waits_gets_the_replica_that_is_added() -> None:
    async with replica() as first, replica() as second, desk(first.url) as one:
        label = one.router.registry.replicas[0].label
        await one.ask("PATCH", f"/replicas/{label}", {"max_sessions": 1})
        async with viewer(one.router.port), trio.open_nursery() as nursery:
            await first.accepted()

            async def come() -> None:
                async with viewer(one.router.port) as client:
                    await client.send("hello")
                    assert await (await second.accepted()).recv() == "hello"

            nursery.start_soon(come)
            await eventually(lambda: len(one.router.status()["queue"]) == 1)
            assert len((await one.get("/queue"))["queue"]) == 1
            await one.ask("POST", "/replicas", {"url": second.url})


@pytest.mark.parametrize("change", [{"max_sessions": 2}, {"max_sessions": "auto"}])
async def test_who_waits_gets_the_slot_that_a_change_makes(change: dict[str, Any]) -> None:
    async with replica() as back, desk(back.url) as one:
        label = one.router.registry.replicas[0].label
        await one.ask("PATCH", f"/replicas/{label}", {"max_sessions": 1})
        async with viewer(one.router.port), trio.open_nursery() as nursery:
            await back.accepted()

            async def come() -> None:
                async with viewer(one.router.port):
                    await back.accepted()

            nursery.start_soon(come)
            await eventually(lambda: len(one.router.status()["queue"]) == 1)
            await one.ask("PATCH", f"/replicas/{label}", change)


async def test_a_removed_replica_keeps_its_session_and_is_gone_with_it() -> None:
    async with replica() as first, replica() as second, desk(first.url, second.url) as one:
        async with viewer(one.router.port) as client:
            await eventually(lambda: first.waiting + second.waiting == 1)
            back = first if first.waiting else second
            end, label = await back.accepted(), back.url.removeprefix("http://")
            answer = await one.ask("DELETE", f"/replicas/{label}")
            assert (answer.status_code, answer.json()["removing"]) == (202, True)
            assert (await one.ask("DELETE", f"/replicas/{label}")).status_code == 202, "asked again"
            assert (await one.ask("PATCH", f"/replicas/{label}", {"weight": 2})).status_code == 409
            await client.send("still")
            assert await end.recv() == "still"
            assert len((await one.get("/replicas"))["replicas"]) == 2
        await all_closed(one.router)
        assert len((await one.get("/replicas"))["replicas"]) == 1
        left = one.router.registry.replicas[0].label
        last = await one.ask("DELETE", f"/replicas/{left}")
        assert (last.status_code, last.json()["detail"]) == (
            409,
            f"{left!r} is the last replica: add another one first, or drain it",
        )


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({}, "url", "Field required"),
        ({"url": "ftp://x"}, "url", "'ftp://x' must start with http:// or https://"),
        ({"url": "http://x", "weight": -1}, "weight", "Input should be greater than 0"),
        ({"url": "http://x", "colour": 1}, "colour", "Extra inputs are not permitted"),
    ],
)
async def test_a_wrong_replica_is_told_by_its_field(body: dict[str, Any], field: str, detail: str) -> None:
    async with replica() as back, desk(back.url) as one:
        answer = await one.ask("POST", "/replicas", body)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": field, "detail": detail}]
        assert len(one.router.registry.replicas) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"weight": True}, "weight"),
        ({"weight": None}, "weight"),
        ({"max_sessions": 0}, "max_sessions"),
        ({"max_sessions": "many"}, "max_sessions"),
        ({"admin": "gone"}, "admin"),
        ({"url": "http://x"}, "url"),
        ([], ""),
    ],
)
async def test_a_wrong_change_is_told_by_its_field_and_changes_nothing(body: Any, field: str) -> None:
    async with replica() as back, desk(back.url) as one:
        (known,) = one.router.registry.replicas
        before = known.endpoint
        answer = await one.ask("PATCH", f"/replicas/{known.label}", body)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert (known.endpoint, str(known.admin)) == (before, "ready")


async def test_a_url_or_name_that_is_there_is_a_conflict() -> None:
    async with replica() as back, desk(back.url) as one:
        label = one.router.registry.replicas[0].label
        same = await one.ask("POST", "/replicas", {"url": back.url + "/", "name": "other"})
        named = await one.ask("POST", "/replicas", {"url": "http://127.0.0.1:9", "name": label})
        assert [(a.status_code, a.json()["errors"][0]["field"]) for a in (same, named)] == [(409, "url"), (409, "name")]


async def test_an_https_replica_whose_ca_file_cannot_be_used_is_refused() -> None:
    async with replica() as back, desk(back.url, tls={"replica_ca_file": "/nowhere/ca.pem"}) as one:
        answer = await one.ask("POST", "/replicas", {"url": "https://x"})
        assert answer.status_code == 422
        assert "/nowhere/ca.pem" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (None, (1012, "closed by an operator")),
        ({}, (1012, "closed by an operator")),
        ({"code": 4000, "reason": "bye"}, (4000, "bye")),
    ],
)
async def test_a_session_is_closed_with_code_and_reason(body: Any, told: tuple[int, str]) -> None:
    async with replica() as back, desk(back.url) as one, viewer(one.router.port) as client:
        end = await back.accepted()
        (session,) = one.router.services.session_table.open
        answer = await one.ask("DELETE", f"/sessions/{session}", body)
        assert (answer.status_code, answer.json()) == (202, {"id": session, "code": told[0], "reason": told[1]})
        assert await client.ended() == told
        assert await end.ended() == (1001, "closed by an operator")
        await all_closed(one.router)
        assert outcomes(one.router) == {"router.opening.closed_by_operator": 1}


@pytest.mark.parametrize(
    "body", [{"code": 1005}, {"code": 999}, {"code": True}, {"reason": "é" * 62}, {"reason": "\ud800"}]
)
async def test_a_close_that_cannot_be_sent_is_refused(body: dict[str, Any]) -> None:
    async with replica() as back, desk(back.url) as one, viewer(one.router.port) as client:
        end = await back.accepted()
        (session,) = one.router.services.session_table.open
        answer = await one.ask("DELETE", f"/sessions/{session}", body)
        assert [error["field"] for error in answer.json()["errors"]] == list(body)
        await client.send("still here")
        assert await end.recv() == "still here"


async def test_the_configuration_is_shown_without_secrets() -> None:
    async with replica() as back, desk(back.url, affinity={"cookie": "c", "secret": "s" * 16}) as one:
        await one.ask("POST", "/replicas", {"url": "http://127.0.0.1:9", "name": "new"})
        answer = await one.ask("GET", "/config")
        shown = answer.json()["router"]
        assert [each["name"] for each in shown["replicas"]] == [None, "new"]
        assert [each["token"] for each in shown["admin"]["tokens"]] == ["***", "***"]
        for secret in (OPERATOR, VIEWER, "s" * 16):
            assert secret not in answer.text


async def test_a_drain_lets_sessions_end_and_the_api_goes_on_meanwhile() -> None:
    async with (
        replica() as back,
        desk(back.url, shutdown={"drain_seconds": 60}) as one,
        viewer(one.router.port) as client,
    ):
        end = await back.accepted()
        answer = await one.ask("POST", "/drain")
        assert (answer.status_code, answer.json()) == (202, {"draining": True, "open_sessions": 1})
        assert one.router.draining
        await client.send("still")
        assert await end.recv() == "still"
        (session,) = (await one.get("/sessions"))["sessions"]
        assert session["bytes_up"] > 0


async def test_events_tell_what_happens_and_who_ordered_it() -> None:
    async with replica() as back, desk(back.url) as one, one.events() as events:
        label = one.router.registry.replicas[0].label
        await one.ask("PATCH", f"/replicas/{label}", {"weight": 3, "admin": "maint"})
        assert await events.next() == (
            "audit",
            {"by": "ann", "action": "replica_changed", "target": label, "details": {"admin": "maint", "weight": 3.0}},
        )
        await one.ask("PATCH", f"/replicas/{label}", {"admin": "ready"})
        await events.next()
        async with viewer(one.router.port):
            await back.accepted()
            assert (await events.next())[0] == "session_opened"
        seen = [await events.next()]
        while seen[-1][0] != "session_ended":
            seen.append(await events.next())
        assert seen[-1][1]["replica"] == label


async def test_who_hangs_up_listens_no_more() -> None:
    async with replica() as back, desk(back.url) as one:
        feed = one.router.feed
        async with one.events():
            assert feed.listeners == 1
        await eventually(lambda: feed.listeners == 0)


async def test_every_change_is_logged_with_the_tokens_name() -> None:
    async with replica() as back, desk(back.url) as one:
        with structlog.testing.capture_logs() as lines:
            label = one.router.registry.replicas[0].label
            await one.ask("POST", "/replicas", {"url": "http://127.0.0.1:9", "name": "new"})
            await one.ask("PATCH", f"/replicas/{label}", {"weight": 3})
            await one.ask("DELETE", "/replicas/new")
        told = [line for line in lines if line["event"] == "changed by an operator"]
        assert [(line["by"], line["action"], line["target"]) for line in told] == [
            ("ann", "replica_added", "new"),
            ("ann", "replica_changed", label),
            ("ann", "replica_removed", "new"),
        ]
        assert OPERATOR not in json.dumps(lines, default=str)


async def test_the_openapi_document_describes_every_call() -> None:
    async with replica() as back, desk(back.url) as one:
        document = await one.get("/openapi.json")
        assert document["openapi"] == "3.1.0"
        calls = {
            (method.upper(), path.removeprefix("/api/v1"))
            for path, methods in document["paths"].items()
            for method in methods
        }
        assert calls == {(route.method, route.path) for route in ROUTES} | {("GET", "/openapi.json")}
        schema = {**document["components"]["schemas"]["Replica"], "components": document["components"]}
        (row,) = (await one.get("/replicas"))["replicas"]
        jsonschema.validate(row, schema)
        named = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
        assert len(set(named)) == len(named)


# Where it listens


async def test_without_tokens_this_machine_is_an_operator_but_a_page_of_another_site_is_not() -> None:
    async with replica() as back, desk(back.url, admin={"port": 0}) as one:
        one.token = None
        assert (await one.ask("POST", "/reload")).status_code == 409, "an operator; there is no file"
        assert (await one.ask("POST", "/reload", origin="http://evil.test")).status_code == 403
        assert (await one.ask("GET", "/config", host="evil.test")).status_code == 403
        own = f"127.0.0.1:{one.router.admin_port}"
        assert (await one.ask("GET", "/config", origin=f"http://{own}")).status_code == 200


async def test_a_unix_socket_is_the_users_own_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with replica() as back:
        async with desk(back.url, admin={"socket": str(path)}) as one:
            one.token = None
            assert len((await one.get("/replicas"))["replicas"]) == 1
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert one.router.admin_port is None
        assert not path.exists()


async def start(config: Any) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with trio.open_nursery() as nursery:
            await nursery.start(Router(config).run)
            nursery.cancel_scope.cancel()


async def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    config = config_for("http://127.0.0.1:9", admin={"socket": str(path)})
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.RaisesGroup(pytest.RaisesExc(StartError, match="in use"), flatten_subgroups=True):
            await start(config)
        assert path.exists()
    await start(config)
    assert not path.exists()
    path.write_text("mine")
    with pytest.RaisesGroup(pytest.RaisesExc(StartError, match="no socket"), flatten_subgroups=True):
        await start(config)
    assert path.read_text() == "mine"


async def test_an_admin_port_that_is_taken_ends_the_start() -> None:
    with refusing_port() as url:
        port = int(url.rpartition(":")[2])
        with pytest.RaisesGroup(pytest.RaisesExc(StartError, match=r"\(admin\)"), flatten_subgroups=True):
            await start(config_for("http://127.0.0.1:9", admin={"port": port}))


async def test_a_request_that_is_too_large_or_none_at_all_disturbs_nobody() -> None:
    async with replica() as back, desk(back.url) as one:
        too_large = await one.ask("POST", "/replicas", b"x" * 100_000)
        assert too_large.status_code == 413
        assert too_large.headers["content-type"] == "application/problem+json"
        async with await trio.open_tcp_stream("127.0.0.1", one.router.admin_port or 0) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nx: " + b"y" * 40_000)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 431 ")
        async with await trio.open_tcp_stream("127.0.0.1", one.router.admin_port or 0) as rubbish:
            await rubbish.send_all(b"\x16\x03\x01 rubbish\r\n\r\n")
            await rubbish.receive_some()
        assert (await one.ask("GET", "/queue")).status_code == 200


async def test_a_router_without_the_block_has_no_admin_api() -> None:
    async with replica() as back, desk(back.url, admin={}) as one:
        assert (one.router.admin_port, one.router.config.admin.enabled) == (None, False)
        assert (await get(one.router, "/api/v1/queue")).status_code == 404
