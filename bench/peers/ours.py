"""trio_router through its real door, `serve` of the command line.

Address, replica and probe interval are set, and its log starts at warnings: the peers write no line per
session either. Limits of connections without a session are lifted where the version knows them, because all
clients come from one address. The checkout that is started is named by PYTHONPATH (and `-P`, so that the
working directory is not looked at): `before(directory)` is another one beside this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

from bench.peers.base import REPOSITORY, Door, Launch, MissingPeer, Peer, package_versions, write_config

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
_LIMITS = "  limits: {connections_without_session: 20000, connections_without_session_per_address: 20000}\n"
_PROGRAM = [sys.executable, "-P", "-m", "trio_router"]
_TIMEOUT_S = 20


def version(checkout: Path = REPOSITORY) -> str:
    """Packages and commit. Raises `MissingPeer` when another checkout would be started than the one named."""
    found = _ask([sys.executable, "-P", "-c", "import trio_router; print(trio_router.__file__)"], checkout)
    if found.returncode or not Path(found.stdout.strip()).is_relative_to(checkout):
        raise MissingPeer(f"no trio_router is imported from {checkout}: {found.stdout}{found.stderr[-300:]}")
    asked = _ask([*_PROGRAM, "serve", "--help"], checkout)
    if asked.returncode != 0:
        raise MissingPeer(f"`trio-router serve --help` fails: {asked.stderr[-300:]}")
    commit = _ask(["git", "-C", str(checkout), "describe", "--always", "--dirty"], checkout).stdout.strip()
    return f"{commit}, {package_versions('trio', 'trio-websocket')}"


def prepare(workdir: Path, port: int, replica_port: int, door: Door, checkout: Path = REPOSITORY) -> Launch:
    config = _CONFIG.format(port=port, replica_port=replica_port)
    if door.dialect is not None:
        config += f"  dialect: {door.dialect}\n"
    if door.certificate is not None:
        config += f"  tls: {{certificate: {door.certificate.chain}, key: {door.certificate.key}}}\n"
    if _knows_limits(workdir, checkout):
        config += _LIMITS
    path = write_config(workdir, "trio-router.yaml", config)
    return Launch([*_PROGRAM, "serve", "--config", str(path)], config, ready_path="/readyz", env=_env(checkout))


def before(checkout: Path) -> Peer:
    """The same of another checkout (`checkout` is absolute)."""
    return Peer(
        "before",
        BEFORE.title,
        partial(version, checkout),
        partial(prepare, checkout=checkout),
        BEFORE.color,
        frozenset({"tls"}),
    )


@cache
def _knows_limits(workdir: Path, checkout: Path) -> bool:
    """Asked of the program itself: `check` refuses a key that it does not know."""
    path = write_config(workdir, "probe.yaml", _CONFIG.format(port=8000, replica_port=8001) + _LIMITS)
    return _ask([*_PROGRAM, "check", str(path)], checkout).returncode == 0


def _env(checkout: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(checkout)}


def _ask(argv: list[str], checkout: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **_env(checkout)}
    return subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=env)


def _not_given() -> str:
    raise MissingPeer("name the other checkout: --against DIR")


PEER = Peer("ours", "trio_router", version, prepare, "#ff7f0e", frozenset({"tls"}))
BEFORE = Peer("before", "trio_router, before", _not_given, prepare, "#ffbb78", frozenset({"tls"}))
