"""``trio-router check``: what it says and how it exits, with real replicas to ask."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result
from real_peers import BOUND_SECONDS, in_thread, replica
from real_process import config_file, demo_replica
from real_router import refusing_port

from trio_router.cli import main


async def check(*arguments: str) -> Result:
    """Run the command; it starts a Trio of its own, so it gets a thread of its own."""
    with trio.fail_after(BOUND_SECONDS):
        return await in_thread(functools.partial(CliRunner().invoke, main, ["check", *arguments]))


def good(folder: Path, *urls: str, **block: Any) -> str:
    return str(config_file(folder, *urls, **block))


async def test_good_configuration_is_described(tmp_path: Path) -> None:
    replicas = [
        {"url": "http://one.test:8000/", "name": "one", "primary": True, "weight": 2},
        {"url": "https://two.test", "max_sessions": 4},
    ]
    block = {"port": 9000, "dialect": "fastvideo", "status_port": 9001, "health_check": {"interval_seconds": 7}}
    done = await check(good(tmp_path, replicas=replicas, **block))
    assert done.exit_code == 0
    assert done.output.startswith("configuration is good\n")
    for part in (
        "ws://127.0.0.1:9000/v1/stream",
        "fastvideo",
        "http://127.0.0.1:9001/status",
        "one  http://one.test:8000  sessions as reported, weight 2",
        "two.test  https://two.test  sessions 4",
        "GET /health every 7 s",
    ):
        assert part in done.output


async def test_every_mistake_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "router:\n  replicas:\n  - {url: 'http://a/path', wieght: 2}\n  - {url: 'http://b'}\n  - {url: 'http://b/'}\n"
        "  health_check: {timeout_seconds: 0}\n"
    )
    done = await check(str(path))
    assert done.exit_code == 2
    assert done.stdout == ""
    for part in ("router.replicas[0].url", "wieght", "weight", "Duplicate", "router.health_check.timeout_seconds"):
        assert part in done.stderr
    assert not isinstance(done.exception, Exception), "it exits; nothing is raised"


async def test_no_file_is_status_2(tmp_path: Path) -> None:
    done = await check(str(tmp_path / "none.yaml"))
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) <= 2


async def test_probe_of_good_replicas(tmp_path: Path) -> None:
    async with demo_replica("--max-sessions", "3") as (_, url), replica() as plain:
        done = await check(good(tmp_path, url, plain.url), "--probe")
        assert done.exit_code == 0, done.output
        lines = done.output.splitlines()
        (demo,) = [line for line in lines if f"{url.removeprefix('http://')}: ok in " in line]
        assert "0 of 3 slots busy" in demo
        assert [line for line in lines if f"{plain.url.removeprefix('http://')}: ok in " in line]


async def test_probe_of_a_dead_replica_is_status_1(tmp_path: Path) -> None:
    with refusing_port() as dead:
        async with replica() as back:
            done = await check(good(tmp_path, dead, back.url), "--probe")
    assert done.exit_code == 1
    assert f"{dead.removeprefix('http://')}: no good answer: ConnectError" in done.output
    assert f"{back.url.removeprefix('http://')}: ok in " in done.output


async def test_probe_of_a_silent_replica_ends_in_time(tmp_path: Path) -> None:
    async def say_nothing(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, say_nothing, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        done = await check(good(tmp_path, url, health_check={"timeout_seconds": 0.2}), "--probe")
        nursery.cancel_scope.cancel()
    assert done.exit_code == 1
    assert "no good answer: no answer within 0.2 s" in done.output


async def test_warming_replica_says_so(tmp_path: Path) -> None:
    async with demo_replica("--warmup", "1000") as (_, url):
        done = await check(good(tmp_path, url), "--probe")
    assert "still warming up" in done.output


@pytest.mark.parametrize("probe", [[], ["--probe"]])
async def test_files_that_cannot_be_used_are_told(tmp_path: Path, probe: list[str]) -> None:
    done = await check(good(tmp_path, "https://127.0.0.1:1", tls={"replica_ca_file": "/nowhere/ca.pem"}), *probe)
    assert done.exit_code == 1
    assert "cannot use tls.replica_ca_file /nowhere/ca.pem: No such file" in done.stderr
