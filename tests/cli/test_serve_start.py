"""``trio-router serve`` that cannot start prints the reason in one line, and its exit status."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio

from tests.server.peers import BOUND_SECONDS
from tests.server.process import config_file, process


async def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "trio_router", *arguments]
    with trio.fail_after(BOUND_SECONDS):
        return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


async def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = await run("serve", "--config", str(config_file(tmp_path, "http://127.0.0.1:1", port=port)))
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_status_port_in_use_names_that_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = await run("serve", "--config", str(config_file(tmp_path, "http://127.0.0.1:1", status_port=port)))
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.decode().splitlines() if "cannot listen" in line]
    assert f":{port}: " in line


async def test_bad_certificate_is_one_clear_line(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("no certificate")
    tls = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    done = await run("serve", "--config", str(config_file(tmp_path, "http://127.0.0.1:1", tls=tls)))
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: cannot use tls.certificate {tls['certificate']} with tls.key {tls['key']}: ")


async def test_missing_ca_file_is_one_clear_line(tmp_path: Path) -> None:
    path = config_file(tmp_path, "https://127.0.0.1:1", tls={"replica_ca_file": "/nowhere/ca.pem"})
    done = await run("serve", "--config", str(path))
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    last = done.stderr.decode().splitlines()[-1]
    assert last == "Error: cannot use tls.replica_ca_file /nowhere/ca.pem: No such file or directory"


async def test_wrong_configuration_is_status_2_and_every_mistake(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text("router:\n  prot: 9000\n  replicas:\n  - url: ftp://x\n  timeouts: {close_seconds: -1}\n")
    done = await run("serve", "--config", str(path))
    assert done.returncode == 2
    text = done.stderr.decode()
    assert "Traceback" not in text
    for part in ("router.prot", "port", "router.replicas[0].url", "router.timeouts.close_seconds"):
        assert part in text


@pytest.mark.parametrize("arguments", [(), ("--config", "/nowhere/router.yaml")])
async def test_no_configuration_is_status_2(arguments: tuple[str, ...]) -> None:
    done = await run("serve", *arguments)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


async def test_environment_names_file_port_and_level(tmp_path: Path) -> None:
    path = config_file(tmp_path, "http://127.0.0.1:1", port=1)
    environ = {"TRIO_ROUTER_CONFIG": str(path), "TRIO_ROUTER_PORT": "0", "TRIO_ROUTER_HOST": "127.0.0.2"}
    with trio.fail_after(BOUND_SECONDS):
        async with process("-m", "trio_router", "serve", environ=environ) as router:
            listening = await router.event("router is listening")
            assert listening["host"] == "127.0.0.2"
            assert listening["port"] > 1
            async with httpx.AsyncClient(trust_env=False) as http:
                answer = await http.get(f"http://127.0.0.2:{listening['port']}/health")
                assert answer.status_code == 200
