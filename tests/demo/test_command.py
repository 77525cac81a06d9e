"""The whole demo through the real router: `demo --once`, and the page while it is being served."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from tests.demo.talk import BOUND_SECONDS
from trio_router.demo.command import NAMES, demo_command, open_demo, replica_name, run_demo
from trio_router.demo.video import count_frames

if TYPE_CHECKING:
    from pathlib import Path

    import httpx


async def test_once_writes_three_segments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo.mp4"
    with trio.fail_after(BOUND_SECONDS * 2):
        assert await run_demo(once=True, out=out, step_seconds=0.001) == 0
    assert count_frames(out) == 180
    assert "OK: 180 frames" in capsys.readouterr().out


async def test_once_writes_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with trio.fail_after(BOUND_SECONDS * 2):
        assert await run_demo(once=True, replicas=1, step_seconds=0.001) == 0
    assert os.listdir(tmp_path) == ["trio-router-demo.mp4"]


async def test_page_and_status_on_one_address(http: httpx.AsyncClient) -> None:
    async with open_demo(replicas=3) as address:
        page = await http.get(f"http://{address}/")
        status = await http.get(f"http://{address}/status")
    assert "<title>trio-router demo</title>" in page.text
    assert [replica["name"] for replica in status.json()["replicas"]] == ["blue", "coral", "amber"]


async def test_serves_until_it_is_cancelled(capsys: pytest.CaptureFixture[str], nursery: trio.Nursery) -> None:
    nursery.start_soon(lambda: run_demo(port=0))
    with trio.fail_after(BOUND_SECONDS):
        while "trio-router demo: http://127.0.0.1:" not in capsys.readouterr().out:
            await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()


async def test_no_replicas() -> None:
    with pytest.raises(ValueError, match="replicas must be at least 1"):
        await run_demo(replicas=0)


def test_command_returns_the_status(tmp_path: Path) -> None:
    assert demo_command(once=True, replicas=1, out=tmp_path / "out.mp4") == 0


def test_command_says_which_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "trio_router.demo.video")
    assert demo_command(once=True) == 1
    assert capsys.readouterr().err == "trio-router demo: the demo needs PyAV: pip install 'trio-router[demo]'\n"


def test_command_says_that_the_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert demo_command(port=taken.getsockname()[1]) == 1
    error = capsys.readouterr().err
    assert error.startswith("trio-router demo: ")
    assert "in use" in error


def test_names_never_run_out() -> None:
    assert len({replica_name(index) for index in range(20)}) == 20
    assert replica_name(0) == NAMES[0]
