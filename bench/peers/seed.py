"""The seed's design (see `bench.routers.seed`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.peers.base import REPOSITORY, Launch, Peer, package_versions

if TYPE_CHECKING:
    from pathlib import Path

    from bench.certificate import Certificate


def version() -> str:
    return package_versions("uvicorn", "websockets", "uvloop")


def prepare(workdir: Path, port: int, replica_port: int, _certificate: Certificate | None) -> Launch:
    argv = [sys.executable, "-m", "bench.routers.seed", str(port), str(replica_port)]
    return Launch(argv, env={"PYTHONPATH": str(REPOSITORY)})


PEER = Peer("seed", "seed's design", version, prepare, "#d62728")
