"""The examples that ship with the package: every configuration is good, and the program runs and passes a strict checker."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.server.peers import replica, viewer
from tests.server.process import process
from trio_router.core.config.file import read_config

EXAMPLES = Path(__file__).parent.parent.parent / "trio_router" / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_good_and_gives_no_warning(path: Path) -> None:
    found = read_config(path.read_text(encoding="utf-8"), source=str(path))
    assert found.config.replicas
    assert [warning.text for warning in found.warnings] == []


@pytest.mark.timeout(300)
def test_the_embedding_program_passes_a_strict_type_checker(tmp_path: Path) -> None:
    """An embedder's checker knows neither our settings nor our plugin."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    done = subprocess.run(
        [*command, str(EXAMPLES / "embedding.py")],
        cwd=EXAMPLES.parent.parent,
        env={"MYPY_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_embedding_program_relays_a_session_and_ends_at_a_signal_with_its_counts() -> None:
    with trio.fail_after(30):
        async with replica() as back, process(str(EXAMPLES / "embedding.py"), back.url) as program:
            address = await program.line("ws://")
            async with viewer(int(address.rpartition(":")[2].partition("/")[0])) as client:
                server = await back.accepted()
                await client.send("hello")
                assert await server.recv() == "hello"
                await server.send("welcome")
                assert await client.recv() == "welcome"
                await client.close(1000)
                assert (await server.ended())[0] == 1000
            program.signal(signal.SIGINT)
            await program.line("{'client.streaming.")
            assert await program.exit_status() == 0
    assert not [line for line in program.lines if "Traceback" in line], program.lines
