"""``trio-router check``: its output and exit status, with real replicas to probe."""

from __future__ import annotations

import functools
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from tests.server.peers import BOUND_SECONDS, in_thread, replica
from tests.server.process import config_file, demo_replica
from tests.server.router import refusing_port
from trio_router.cli.check import unresolvable
from trio_router.cli.main import main
from trio_router.cli.settings import load_config, load_file
from trio_router.core.errors import ConfigError


async def check(*arguments: str) -> Result:
    return await run("check", *arguments)


async def run(*arguments: str) -> Result:
    """Run the command; it starts a Trio of its own, so it gets a thread of its own."""
    with trio.fail_after(BOUND_SECONDS):
        return await in_thread(functools.partial(CliRunner().invoke, main, arguments))


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
    assert done.output.splitlines()[-1] == "configuration is good"
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
    assert done.stderr.splitlines()[-1] == "1 problem"


async def test_mistakes_are_told_as_compilers_do_and_the_verdict_comes_last(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("router:\n  host: $HOST\n  drain_seconds: 5\n  replicas: [ftp://a]\n")
    done = await check(str(path))
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"{path}:2:9: warning: router.host: $HOST is not replaced; write ${{HOST}} for the variable, or $$HOST",
        f"{path}:3:3: router.drain_seconds: unknown key; did you mean router.shutdown.drain_seconds?",
        f"{path}:4:14: router.replicas[0].url: 'ftp://a' must start with http:// or https://",
        "2 problems, 1 warning",
    ]


async def test_warnings_are_no_mistakes(tmp_path: Path) -> None:
    done = await check(good(tmp_path, "http://a", health_check={"timeout_seconds": 9}))
    assert done.exit_code == 0
    (line,) = done.stderr.splitlines()
    assert ": warning: router.health_check.timeout_seconds: 9 s is above interval_seconds (5 s)" in line
    assert done.stdout.splitlines()[-1] == "configuration is good, 1 warning"


async def test_variables_and_secret_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef\n")
    path = tmp_path / "router.yaml"
    text = "router: {host: '${HOST}', replicas: [http://a], affinity: {cookie: c, secret_file: KEY}}"
    path.write_text(text.replace("KEY", str(tmp_path / "key")))
    config = load_config(str(path), environ={"HOST": "h"})
    assert (config.host, config.affinity.secret) == ("h", "0123456789abcdef")
    path.write_text(text.replace("KEY", str(tmp_path / "none")))
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), environ={})
    assert [line.partition(": ")[0] for line in caught.value.problems] == ["router.host", "router.affinity.secret_file"]


async def test_dump_is_a_file_that_check_takes_again(tmp_path: Path) -> None:
    first = good(tmp_path, "http://a", "http://b", port=9000, timeouts={"close_seconds": "200ms"})
    done = await check(first, "--dump")
    assert (done.exit_code, done.stderr) == (0, "configuration is good\n")
    (tmp_path / "again.yaml").write_text(done.stdout)
    again = await check(str(tmp_path / "again.yaml"), "--dump")
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert load_config(str(tmp_path / "again.yaml")) == load_config(first)


async def test_dump_hides_secrets(tmp_path: Path) -> None:
    done = await check(good(tmp_path, "http://a", affinity={"cookie": "c", "secret": "0123456789abcdef"}), "--dump")
    assert "secret: '***'" in done.stdout
    assert "0123456789abcdef" not in done.output


async def test_schema_needs_no_file() -> None:
    done = await check("--schema")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["required"] == ["router"]


@pytest.mark.parametrize("command", ["check", "serve"])
async def test_the_file_may_be_given_both_ways_but_not_two_files(tmp_path: Path, command: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("router: {prot: 1, replicas: [http://a]}")
    same = f"{tmp_path}/./bad.yaml"
    for arguments in ([str(bad)], ["-c", str(bad)], ["--config", str(bad)], [same, "-c", str(bad)]):
        done = await run(command, *arguments)
        assert done.exit_code == 2
        assert "router.prot" in done.stderr
    done = await run(command, str(bad), "-c", "other.yaml")
    assert done.exit_code == 2
    assert f"two files are given: {bad} and --config other.yaml" in done.stderr


async def test_the_argument_wins_over_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIO_ROUTER_CONFIG", "/nowhere/router.yaml")
    assert (await check(good(tmp_path, "http://a"))).exit_code == 0
    done = await check()
    assert done.stderr.splitlines() == ["/nowhere/router.yaml: cannot be read: No such file or directory", "1 problem"]


class Resolver(trio.abc.HostnameResolver):
    """Knows one host."""

    async def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if host != b"known.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


async def test_hosts_without_an_address_are_doubted(tmp_path: Path) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    found = load_file(good(tmp_path, "http://known.test", "http://other.test:8000", "http://127.0.0.1"))
    (warning,) = await unresolvable(found)
    assert warning.text == (
        "router.replicas[1].url: the host 'other.test' cannot be resolved here: Name or service not known"
    )
    assert warning.place is not None


async def test_the_verdict_tells_of_silent_replicas(tmp_path: Path) -> None:
    with refusing_port() as dead:
        done = await check(good(tmp_path, dead), "--probe")
    assert done.output.splitlines()[-1] == "configuration is good, but 1 of 1 replicas did not answer well"
