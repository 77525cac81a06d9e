"""Plain trio-websocket messages (see `bench.routers.trio_ws`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.peers.base import REPOSITORY, Launch, Peer, package_versions

if TYPE_CHECKING:
    from pathlib import Path

    from bench.certificate import Certificate


def version() -> str:
    return package_versions("trio", "trio-websocket")


def prepare(workdir: Path, port: int, replica_port: int, _certificate: Certificate | None) -> Launch:
    argv = [sys.executable, "-m", "bench.routers.trio_ws", str(port), str(replica_port)]
    return Launch(argv, ready_path=None, env={"PYTHONPATH": str(REPOSITORY)})


PEER = Peer("trio_ws", "trio-websocket", version, prepare, "#8c564b")
