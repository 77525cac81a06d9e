"""A replica as its own process, so that tests can stop and kill it."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from tests.demo.talk import BOUND_SECONDS, talk_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COMMAND = [sys.executable, "-m", "trio_router.demo.replica", "--opaque", "--step-seconds", "0"]


@asynccontextmanager
async def replica_process() -> AsyncIterator[tuple[trio.Process, str]]:
    """A running replica process and its base URL; killed at the end."""
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(spawn)
        assert process.stdout is not None
        line = (await process.stdout.receive_some()).decode()
        assert line.startswith("listening on http://127.0.0.1:")
        yield process, line.removeprefix("listening on ").strip()
        process.kill()


async def spawn(task_status: trio.TaskStatus[trio.Process]) -> None:
    await trio.run_process(COMMAND, stdout=subprocess.PIPE, check=False, task_status=task_status)


async def test_first_line_says_where() -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica_process() as (_process, url), talk_to(url) as talk:
            await talk.start()
            assert (await talk.segment("hello"))[-1]["segment_idx"] == 0


async def test_killed_process_is_seen_as_1006() -> None:
    with trio.fail_after(BOUND_SECONDS):
        async with replica_process() as (process, url), talk_to(url) as talk:
            await talk.start()
            process.send_signal(signal.SIGKILL)
            assert await talk.close_code() == 1006


async def test_bad_option_is_one_line_and_status_1() -> None:
    command = [*COMMAND, "--max-sessions", "0"]
    with trio.fail_after(BOUND_SECONDS):
        result = await trio.run_process(command, capture_stderr=True, check=False)
    assert result.returncode == 1
    assert result.stderr == b"Error: max_sessions, segment_cap and total_steps must be at least 1\n"


async def test_missing_codec_is_one_line_and_status_1() -> None:
    hide = "import sys; sys.modules['av'] = None; sys.argv[0] = 'replica'; "
    command = [sys.executable, "-c", hide + "from trio_router.demo.replica import main; main()"]
    with trio.fail_after(BOUND_SECONDS):
        result = await trio.run_process(command, capture_stderr=True, check=False)
    assert result.returncode == 1
    assert result.stderr == b"Error: the demo needs PyAV: pip install 'trio-router[demo]'\n"
