"""Starting processes, waiting until they answer, and tearing them down whatever happens.

Every child gets a process group of its own, which is what is ended, so that masters with workers leave
nothing behind; and a death signal, so that it does not outlive a harness that was killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from bench import proc, wire
from bench.certificate import client_context
from bench.peers.base import REPOSITORY, Launch

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from bench.certificate import Certificate

_READY_TIMEOUT_S = 20.0
_POLL_S = 0.02
_STOP_TIMEOUT_S = 1.0  # a router that drains its sessions politely is not waited for
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class NotReady(Exception):
    """A process did not come up; the message ends with the tail of its log."""


class Child:
    """One running process (and whatever it forks), its output in a file."""

    def __init__(self, name: str, launch: Launch, port: int, log: Path) -> None:
        self.name, self.launch, self.port, self._log = name, launch, port, log
        env = {**os.environ, **launch.env}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                launch.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def __enter__(self) -> Self:
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        return proc.process_tree(self._process.pid)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.alive:
                raise NotReady(f"{self.name} ended with {self._process.returncode}: {self._tail()}")
            if _answers(self.port, self.launch.ready_path, tls=self.launch.tls):
                return
            time.sleep(_POLL_S)
        raise NotReady(f"{self.name} is not ready after {_READY_TIMEOUT_S:g} s: {self._tail()}")

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-500:]

    def stop(self) -> None:
        """SIGTERM to the group, SIGKILL after a while; returns when the process is gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT_S)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _answers(port: int, path: str | None, *, tls: bool) -> bool:
    if path is None:
        with contextlib.suppress(OSError), socket.create_connection((wire.HOST, port), 1):
            return True
        return False
    connection = http.client.HTTPConnection(wire.HOST, port, timeout=2)
    if tls:
        connection = http.client.HTTPSConnection(wire.HOST, port, timeout=2, context=client_context())
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind((wire.HOST, 0))
        return int(listener.getsockname()[1])


def replica_launch(port: int) -> Launch:
    return Launch([sys.executable, "-m", "bench.replica", str(port)], env={"PYTHONPATH": str(REPOSITORY)})


def run_client(job: wire.Job, log: Path, timeout_s: float, certificate: Certificate | None) -> str:
    """Run the load generator to its end; returns what it printed, empty when it had to be ended."""
    argv = [sys.executable, "-m", "bench.client", job.to_json()]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    if certificate is not None:
        env["OPENSSL_CONF"] = str(certificate.openssl_config)
    with log.open("ab") as errors:
        client = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=errors, env=env, text=True, preexec_fn=_die_with_parent
        )
        try:
            return client.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            return ""
        finally:
            client.kill()
            client.wait()
