"""The examples that ship with the package: every configuration is good, and the program runs and passes a strict checker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.server.peers import replica, viewer
from trio_router.core.config.file import read_config

EXAMPLES = Path(__file__).parent.parent.parent / "trio_router" / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_good_and_gives_no_warning(path: Path) -> None:
    found = read_config(path.read_text(encoding="utf-8"), source=str(path))
    assert found.config.replicas
    assert [warning.text for warning in found.warnings] == []


def test_the_embedding_program_passes_a_strict_type_checker() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(EXAMPLES / "embedding.py")]
    done = subprocess.run(command, cwd=EXAMPLES.parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_embedding_program_relays_a_session() -> None:
    with trio.fail_after(30):
        async with replica() as back, trio.open_nursery() as nursery:
            command = [sys.executable, str(EXAMPLES / "embedding.py"), back.url]
            process = await nursery.start(_run, command)
            address = (await process.stdout.receive_some()).decode().strip()
            async with viewer(int(address.rpartition(":")[2].partition("/")[0])) as client:
                server = await back.accepted()
                await client.send("hello")
                assert await server.recv() == "hello"
            nursery.cancel_scope.cancel()


async def _run(command: list[str], task_status: trio.TaskStatus[trio.Process]) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    await trio.run_process(command, stdout=subprocess.PIPE, env=environment, check=False, task_status=task_status)
