"""What a peer is: a name, a version, and how to start it in front of one replica."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.certificate import Certificate

_VERSION_TIMEOUT_S = 20
REPOSITORY = Path(__file__).resolve().parents[2]


class MissingPeer(Exception):
    """This peer is not installed; the message says what would have to be."""


@dataclass(frozen=True)
class Launch:
    """One process to start: `ready_path` answers 2xx or 3xx when it is up; None means that a TCP connect
    tells."""

    argv: list[str]
    config: str = ""
    ready_path: str | None = "/health"
    env: dict[str, str] = field(default_factory=dict)
    tls: bool = False


@dataclass(frozen=True)
class Peer:
    """`version()` raises `MissingPeer`; `prepare(workdir, port, replica_port, certificate)` writes config and
    names the command; clients are `wss` when there is a certificate. Those outside `TLS` never get one."""

    name: str
    title: str
    version: Callable[[], str]
    prepare: Callable[[Path, int, int, Certificate | None], Launch]
    color: str


def find_binary(name: str, install: str) -> str:
    """The path of a program: beside this Python first, then PATH, then where Debian keeps daemons."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise MissingPeer(f"{name} is not installed ({install})")
    return found


def first_line(argv: list[str]) -> str:
    """The first line that a program prints about itself (stdout and stderr together)."""
    done = subprocess.run(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_VERSION_TIMEOUT_S,
        check=False,
    )
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[0] if lines else "unknown"


def package_versions(*names: str) -> str:
    """Versions of Python packages, as one text; all of them are needed."""
    try:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingPeer(f"{error.name} is not installed (dependency group bench)") from error


def write_config(workdir: Path, name: str, text: str) -> Path:
    path = workdir / name
    path.write_text(text)
    return path
