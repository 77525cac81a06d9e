"""trio_router through its real door, `trio-router serve`.

Address, replica and probe interval are set, and its log starts at warnings: the peers write no line per
session either.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from bench.peers.base import Launch, MissingPeer, Peer, find_binary, package_versions, write_config

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """\
router:
  host: 127.0.0.1
  port: {port}
  replicas:
    - url: http://127.0.0.1:{replica_port}
      max_sessions: 100000
  health_check: {{path: /health, interval_seconds: 1}}
  log: {{level: warning}}
"""
_INSTALL = "pip install -e ."
_HELP_TIMEOUT_S = 20


def version() -> str:
    program = find_binary("trio-router", _INSTALL)
    asked = subprocess.run(
        [program, "serve", "--help"], capture_output=True, text=True, timeout=_HELP_TIMEOUT_S, check=False
    )
    if asked.returncode != 0:
        raise MissingPeer("`trio-router serve --help` fails")
    return package_versions("trio-router", "trio", "trio-websocket")


def prepare(workdir: Path, port: int, replica_port: int) -> Launch:
    config = _CONFIG.format(port=port, replica_port=replica_port)
    path = write_config(workdir, "trio-router.yaml", config)
    argv = [find_binary("trio-router", _INSTALL), "serve", "--config", str(path)]
    return Launch(argv, config, ready_path="/readyz")


PEER = Peer("ours", "trio_router", version, prepare, "#ff7f0e")
