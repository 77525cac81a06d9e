"""A new configuration is taken over while sessions stream: all of it or nothing, and nobody notices."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import yaml

from tests.server.admin import OPERATOR, VIEWER, Desk, desk
from tests.server.peers import BOUND_SECONDS, Peer, Replica, replica, viewer
from tests.server.process import router_process
from tests.server.router import eventually, outcomes, refusing_port, running
from trio_router.cli.settings import load_config
from trio_router.core.errors import ConfigError, ReloadRefused


class File:
    """A configuration file, and a desk before the router that was started from it."""

    def __init__(self, path: Path, *urls: str, **settings: Any) -> None:
        self.path = path
        self.block: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": 0,
            "dialect": "opaque",
            "replicas": [{"url": url, "name": f"r{index}"} for index, url in enumerate(urls)],
            "admin": {
                "port": 0,
                "tokens": [
                    {"name": "wall", "token": VIEWER, "role": "viewer"},
                    {"name": "ann", "token": OPERATOR, "role": "operator"},
                ],
            },
            **settings,
        }
        self.write()

    def write(self, **settings: Any) -> None:
        self.block = {**self.block, **settings}
        self.path.write_text(yaml.safe_dump({"router": self.block}), encoding="utf-8")

    def load(self) -> Any:
        return load_config(str(self.path), environ={})

    def desk(self) -> Any:
        return desk(config=self.load(), load=self.load)


async def reload(one: Desk) -> Any:
    answer = await one.ask("POST", "/reload")
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(one: Desk) -> list[str]:
    return [replica.label for replica in one.router.registry.replicas if not replica.removing]


async def test_nothing_changed_is_no_difference(tmp_path: Path) -> None:
    async with replica() as back, File(tmp_path / "r.yaml", back.url).desk() as one:
        found = await reload(one)
        assert found == {
            "changed": False,
            "replicas": {"added": [], "changed": [], "removed": []},
            "settings": [],
        }


async def test_replicas_are_added_changed_and_removed(tmp_path: Path) -> None:
    async with replica() as first, replica() as second:
        file = File(tmp_path / "r.yaml", first.url)
        async with file.desk() as one:
            kept = one.router.registry.replicas[0]
            one_more = [{"url": first.url, "name": "r0", "weight": 4}, {"url": second.url, "name": "more"}]
            file.write(replicas=one_more)
            found = (await reload(one))["replicas"]
            assert [row["name"] for row in found["added"]] == ["more"]
            assert found["changed"][0]["changes"] == {"weight": [1.0, 4.0]}
            assert (one.router.registry.replicas[0], kept.endpoint.weight) == (kept, 4.0)
            await eventually(lambda: one.router.registry.replicas[1].is_healthy)
            file.write(replicas=one_more[1:])
            assert [row["name"] for row in (await reload(one))["replicas"]["removed"]] == ["r0"]
            async with viewer(one.router.port):
                await second.accepted()


async def test_a_broken_file_changes_nothing_and_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    async with replica() as back:
        file = File(tmp_path / "r.yaml", back.url)
        async with file.desk() as one:
            before = one.router.config
            file.write(timeouts={"connect_seconds": -1}, balance="nonsense", queue={"length": 1})
            answer = await one.ask("POST", "/reload")
            assert answer.status_code == 422
            problems = answer.json()["problems"]
            assert len(problems) == 2
            assert any("router.timeouts.connect_seconds" in problem for problem in problems)
            assert any("router.balance" in problem for problem in problems)
            assert one.router.config is before
            with pytest.raises(ConfigError):
                await one.router.reload()
            file.path.unlink()
            assert (await one.ask("POST", "/reload")).status_code == 422


async def test_what_needs_a_restart_is_named_and_the_rest_of_that_file_not_taken_either(tmp_path: Path) -> None:
    async with replica() as back:
        file = File(tmp_path / "r.yaml", back.url)
        async with file.desk() as one:
            file.write(
                port=1, tls={"certificate": "c", "key": "k"}, queue={"length": 1}, replicas=[back.url, "http://x"]
            )
            answer = await one.ask("POST", "/reload")
            assert answer.status_code == 409
            assert answer.json()["keys"] == ["router.port", "router.tls.certificate", "router.tls.key"]
            assert (one.router.config.queue.length, names(one)) == (100, ["r0"])
            with pytest.raises(ReloadRefused, match=r"router\.port"):
                await one.router.reload()
            file.write(port=0, tls={}, replicas=[{"url": back.url, "name": "r0"}])
            await reload(one)
            assert one.router.config.queue.length == 1


async def test_a_router_without_a_file_cannot_be_reloaded() -> None:
    async with replica() as back, running(back.url) as router:
        with pytest.raises(ReloadRefused, match="not started from a file"):
            await router.reload()


async def test_new_sessions_go_by_new_limits_and_open_ones_by_those_they_began_with(tmp_path: Path) -> None:
    async with replica() as back:
        file = File(tmp_path / "r.yaml", back.url)
        async with file.desk() as one, viewer(one.router.port) as old:
            old_end = await back.accepted()
            file.write(limits={"client_message_bytes": 2048})
            await reload(one)
            async with viewer(one.router.port) as new:
                await back.accepted()
                await new.send(b"x" * 3000)
                assert (await new.ended())[0] == 1009
            await old.send(b"x" * 3000)
            assert len(await old_end.recv()) == 3000


async def test_dials_and_the_queue_go_by_the_new_configuration(tmp_path: Path) -> None:
    async with replica() as back:
        file = File(tmp_path / "r.yaml", back.url)
        async with file.desk() as one:
            file.write(queue={"length": 0}, limits={"max_sessions": 1}, timeouts={"connect_seconds": 3})
            await reload(one)
            services = one.router.services
            assert services.config is one.router.config
            assert (services.config.limits.max_sessions, services.relay_parts.timeouts.connect_seconds) == (1, 3)
            async with viewer(one.router.port):
                await back.accepted()
                with pytest.raises(Exception, match="503"):
                    async with viewer(one.router.port):
                        pass


async def test_tokens_count_at_once(tmp_path: Path) -> None:
    async with replica() as back:
        file = File(tmp_path / "r.yaml", back.url)
        async with file.desk() as one:
            fresh = "fresh-0123456789abc"
            tokens = [{"name": "bob", "token": fresh, "role": "operator"}]
            file.write(admin={"port": 0, "tokens": tokens})
            await reload(one)
            assert (await one.ask("GET", "/queue")).status_code == 401
            one.token = fresh
            assert (await one.ask("GET", "/queue")).status_code == 200


async def test_what_was_changed_by_hand_lasts_until_the_file_touches_that_replica(tmp_path: Path) -> None:
    with refusing_port() as idle:
        async with replica() as first, replica() as second:
            file = File(tmp_path / "r.yaml", first.url, second.url)
            async with file.desk() as one:
                await one.ask("PATCH", "/replicas/r0", {"weight": 9, "admin": "drain"})
                await one.ask("DELETE", "/replicas/r1")
                await one.ask("POST", "/replicas", {"url": idle, "name": "mine"})
                file.write(queue={"length": 1})
                await reload(one)
                r0 = one.router.registry.replicas[0]
                assert (names(one), r0.endpoint.weight, str(r0.admin)) == (["r0", "mine"], 9.0, "drain")
                file.write(replicas=[{"url": first.url, "name": "r0", "weight": 2}, {"url": second.url, "name": "r1"}])
                await reload(one)
                assert (names(one), r0.endpoint.weight) == (["r0", "mine"], 2.0)
                assert str(r0.admin) == "drain", "an order, which no file holds, is taken back by an order"


async def test_a_name_that_was_given_by_hand_meanwhile_is_told_and_nothing_changes(tmp_path: Path) -> None:
    with refusing_port() as idle:
        async with replica() as first, replica() as second:
            file = File(tmp_path / "r.yaml", first.url)
            async with file.desk() as one:
                await one.ask("POST", "/replicas", {"url": idle, "name": "twin"})
                file.write(replicas=[first.url, {"url": second.url, "name": "twin"}])
                answer = await one.ask("POST", "/reload")
                assert (answer.status_code, answer.json()["problems"]) == (422, ["Duplicate name 'twin'"])
                assert names(one) == ["r0", "twin"]


def change(folder: Path, **settings: Any) -> None:
    """Change the file of a router's process."""
    path = folder / "router.yaml"
    block = yaml.safe_load(path.read_text(encoding="utf-8"))
    block["router"].update(settings)
    path.write_text(yaml.safe_dump(block), encoding="utf-8")


async def test_the_log_level_changes_at_once(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        socket = str(tmp_path / "admin.sock")
        async with (
            replica() as back,
            router_process(tmp_path, back.url, admin={"socket": socket}) as (router, port),
            httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=socket), base_url="http://localhost") as http,
        ):
            change(tmp_path, log={"format": "json", "level": "error"})
            assert (await http.post("/api/v1/reload")).status_code == 200
            async with viewer(port):
                await back.accepted()
            change(tmp_path, log={"format": "json", "level": "info"})
            router.signal(signal.SIGHUP)
            told = await router.event("changed by an operator")
            assert told["diff"] == ["~ router.log.level: error -> info (at once)"], "the first one was below the level"
            assert not [line for line in router.lines if "session opened" in line]


async def test_sighup_reloads_and_says_what_changed_or_what_is_wrong(tmp_path: Path) -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica() as back, router_process(tmp_path, back.url) as (router, port), viewer(port) as client:
            server = await back.accepted()
            change(tmp_path, timeouts={"connect_seconds": 3})
            router.signal(signal.SIGHUP)
            told = await router.event("changed by an operator")
            assert (told["by"], told["action"]) == ("SIGHUP", "reloaded")
            assert told["diff"] == ["~ router.timeouts.connect_seconds: 5 -> 3 (for new sessions)"]
            change(tmp_path, replicas=[])
            router.signal(signal.SIGHUP)
            wrong = await router.event("the configuration was not reloaded")
            assert wrong["problems"] == ["router.replicas: no replicas: list at least one, each with its url"]
            await client.send("hello")
            assert await server.recv() == "hello"
            router.signal(signal.SIGTERM)
            await client.close(1000)
            assert await router.exit_status() == 0


async def test_no_session_notices_any_of_it(tmp_path: Path) -> None:
    """Viewers stream while replicas are added, drained, removed, weighed anew and the file is reloaded five times."""
    streams = 12
    async with replica() as one_, replica() as two, replica() as three, replica() as four:
        backs = [one_, two, three]
        file = File(tmp_path / "r.yaml", *(back.url for back in backs))
        async with file.desk() as one, trio.open_nursery() as nursery:
            stop, counts = trio.Event(), [0] * streams

            async def watch(number: int, *, task_status: trio.TaskStatus[None]) -> None:
                async with viewer(one.router.port) as client:
                    end = await arrived([*backs, four])
                    task_status.started()
                    while not stop.is_set():
                        await client.send(f"{number}:{counts[number]}")
                        assert await end.recv() == f"{number}:{counts[number]}"
                        await end.send(b"frame" * 1000)
                        assert await client.recv() == b"frame" * 1000
                        counts[number] += 1
                    assert (await client.close(1000))[0] == 1000

            for number in range(streams):
                await nursery.start(watch, number)

            async def all_went_on() -> None:
                seen = list(counts)
                await eventually(lambda: all(now > then + 2 for now, then in zip(counts, seen, strict=True)))

            replicas = file.block["replicas"]
            ordered: list[tuple[str, str, Any]] = [
                ("POST", "/replicas", {"url": four.url, "name": "r3"}),
                ("PATCH", "/replicas/r0", {"admin": "drain"}),
                ("PATCH", "/replicas/r1", {"weight": 7, "max_sessions": 1}),
                ("PATCH", "/replicas/r2", {"admin": "maint"}),
                ("DELETE", "/replicas/r1", None),
                ("PATCH", "/replicas/r0", {"admin": "ready"}),
                ("PATCH", "/replicas/r2", {"admin": "ready", "max_sessions": "auto"}),
            ]
            for method, path, body in ordered:
                assert (await one.ask(method, path, body)).status_code in (200, 201, 202)
                await all_went_on()
            files: list[tuple[dict[str, Any], int]] = [
                ({"timeouts": {"connect_seconds": 3}}, 200),
                ({"replicas": [{**replicas[0], "weight": 3}, *replicas[1:]]}, 200),
                ({"replicas": [{"url": "nonsense"}]}, 422),
                ({"replicas": replicas[1:], "health_check": {"interval_seconds": 1}}, 200),
                ({"replicas": replicas, "limits": {"hold_bytes": 2048}, "balance": "random_two"}, 200),
            ]
            for settings, status in files:
                file.write(**settings)
                assert (await one.ask("POST", "/reload")).status_code == status
                await all_went_on()
            assert len(one.router.services.session_table.open) == streams
            assert not one.router.services.session_table.outcomes
            stop.set()
        assert outcomes(one.router) == {"client.streaming.closed": streams}


async def arrived(backs: list[Replica]) -> Peer:
    """The next connection of any of them."""
    await eventually(lambda: any(back.waiting for back in backs))
    return await next(back for back in backs if back.waiting).accepted()
