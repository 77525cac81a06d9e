"""``trio-router serve`` whose log nobody takes: a stalled pipe, a broken one, a full disk, no standard error at all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
import trio

from tests.server.peers import BOUND_SECONDS
from tests.server.process import config_file, process

#: A pipe holds 64 KiB, some 400 lines.
LINES = 1500


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def serving(folder: Path, port: int, *, stderr: int | IO[Any] = subprocess.PIPE) -> AsyncIterator[trio.Process]:
    """A router whose standard error is this, once it answers; its log is read by nobody."""
    path = config_file(folder, "http://127.0.0.1:1", port=port)
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh"] if stderr == subprocess.DEVNULL else []
    command = [*shell, sys.executable, "-m", "trio_router", "serve", "--config", str(path)]
    with trio.fail_after(BOUND_SECONDS):
        started = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            while not await healthy(port):
                assert started.returncode is None
                await trio.sleep(0.02)
            yield started
        finally:
            started.kill()
            with trio.CancelScope(shield=True):
                await started.wait()
                if started.stderr is not None:
                    await started.stderr.aclose()


async def healthy(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        with contextlib.suppress(httpx.ConnectError):
            return (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200
    return False


async def refusals(port: int, count: int) -> None:
    """So many log lines."""
    for _ in range(count):
        async with await trio.open_tcp_stream("127.0.0.1", port) as client:
            await client.send_all(b"no HTTP\r\n\r\n")
            while await client.receive_some():
                pass


async def ends_when_told(router: trio.Process) -> None:
    router.send_signal(signal.SIGTERM)
    assert await router.wait() == 0


async def test_a_reader_that_stalls_stalls_nobody(tmp_path: Path) -> None:
    port = free_port()
    async with serving(tmp_path, port) as router:
        await refusals(port, LINES)
        assert await healthy(port)
        async with httpx.AsyncClient(trust_env=False) as http:
            body = (await http.get(f"http://127.0.0.1:{port}/status")).json()
        assert body["router"]["refused"] == {"bad_request": LINES}
        await ends_when_told(router)


async def test_a_reader_that_wakes_up_gets_the_lines_in_order(tmp_path: Path) -> None:
    port = free_port()
    async with serving(tmp_path, port) as router:
        await refusals(port, LINES)
        router.send_signal(signal.SIGTERM)
        data = b""
        assert router.stderr is not None
        async for more in router.stderr:
            data += more
        events = [json.loads(line)["event"] for line in data.splitlines()]
        assert events.count("refused") == LINES
        assert events[-1] == "router has ended"


async def test_a_reader_that_goes_takes_nobody_along(tmp_path: Path) -> None:
    port = free_port()
    async with serving(tmp_path, port) as router:
        assert router.stderr is not None
        await router.stderr.aclose()
        await refusals(port, 10)
        assert await healthy(port)
        await ends_when_told(router)


async def test_a_full_disk_under_the_log(tmp_path: Path) -> None:
    port = free_port()
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230
        async with serving(tmp_path, port, stderr=full) as router:
            await refusals(port, 10)
            assert await healthy(port)
            await ends_when_told(router)


async def test_it_starts_without_standard_error_and_no_client_gets_its_number(tmp_path: Path) -> None:
    port = free_port()
    async with serving(tmp_path, port, stderr=subprocess.DEVNULL) as router:
        await refusals(port, 10)
        assert os.readlink(f"/proc/{router.pid}/fd/2") == os.devnull
        await ends_when_told(router)


PROGRAM = """
import sys, logging, trio
from trio_router import RouterConfig, open_router

async def main():
    replicas = [{"url": "http://127.0.0.1:1"}]
    config = RouterConfig(host="127.0.0.1", port=0, replicas=replicas, failure_threshold=1)
    async with open_router(config) as router:
        while router.status()["replicas"][0]["status"] != "unhealthy":
            await trio.sleep(0.01)

if "listen" in sys.argv:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s: %(message)s")
trio.run(main)
print("end")
"""


@pytest.mark.parametrize("wanted", [False, True])
async def test_an_embedder_hears_of_the_router_only_if_it_asks(tmp_path: Path, wanted: bool) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    with trio.fail_after(BOUND_SECONDS):
        async with process(str(path), *(["listen"] if wanted else [])) as program:
            await program.line("end")
            assert await program.exit_status() == 0
    ours = [line for line in program.lines if line.startswith("trio_router: router ")]
    assert len(ours) == (2 if wanted else 0)
    assert wanted or program.lines == ["end"]


@pytest.mark.parametrize("arguments", [["--version"], ["serve", "--help"], ["--help"]])
async def test_a_question_about_the_command_does_not_load_the_web_framework(arguments: list[str]) -> None:
    run = "from trio_router.cli.main import main; main(sys.argv[1:], standalone_mode=False)"
    program = f"import sys; {run}; print(*sys.modules)"
    done = await trio.run_process([sys.executable, "-c", program, *arguments], capture_stdout=True)
    loaded = done.stdout.decode().splitlines()[-1].split()
    assert "trio_router.cli.main" in loaded
    assert not {"quart", "hypercorn", "httpx", "trio"} & set(loaded)


def test_all_public_names_are_there() -> None:
    import trio_router

    assert all(getattr(trio_router, name) is not None for name in trio_router.__all__)
    with pytest.raises(AttributeError, match="module 'trio_router' has no attribute 'nothing'"):
        trio_router.nothing  # type: ignore[attr-defined]  # noqa: B018
