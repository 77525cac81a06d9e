"""trio_router through its real door, `serve` of the command line.

Address, replica and probe interval are set, and its log starts at warnings: the peers write no line per
session either. Limits of connections without a session are lifted where the version knows them, because
all clients come from one address. PYTHONPATH names the checkout that is started (`-P`: the working directory
is not looked at); `before` is the same of another one.

The dialect is the default, fastvideo, in all scenarios: their first message is a `session_init_v2`. `ours_opaque` is
the same with the dialect opaque, for the rows `fastvideo-*` only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.base import REPOSITORY, Launch, MissingPeer, Peer, package_versions, write_config

if TYPE_CHECKING:
    from bench.certificate import Certificate

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
    """Commit and packages.

    Raises:
        MissingPeer: it does not start, or Python would import another trio_router than that of `checkout`.
    """
    found = _ask([sys.executable, "-P", "-c", "import trio_router; print(trio_router.__file__)"], checkout)
    if found.returncode or not Path(found.stdout.strip()).is_relative_to(checkout):
        raise MissingPeer(f"Python finds no package trio_router in that checkout{_reason(found)}")
    asked = _ask([*_PROGRAM, "serve", "--help"], checkout)
    if asked.returncode:
        raise MissingPeer(f"`python -m trio_router serve --help` fails{_reason(asked)}")
    described = _ask(["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude", "*"], checkout)
    commit = described.stdout.strip() or "not known"
    return f"commit {commit}, {package_versions('trio', 'trio-websocket')}"


def prepare(
    workdir: Path,
    port: int,
    replica_port: int,
    certificate: Certificate | None,
    checkout: Path = REPOSITORY,
    extra: str = "",
) -> Launch:
    config = _CONFIG.format(port=port, replica_port=replica_port) + extra
    if certificate is not None:
        config += f"  tls: {{certificate: {certificate.chain}, key: {certificate.key}}}\n"
    if _knows_limits(checkout):
        config += _LIMITS
    path = write_config(workdir, "trio-router.yaml", config)
    return Launch([*_PROGRAM, "serve", "--config", str(path)], config, ready_path="/readyz", env=_env(checkout))


def before(checkout: Path) -> Peer:
    """The trio_router of another checkout.

    Raises:
        MissingPeer: there is none, or it does not start.
    """
    checkout = checkout.resolve()
    version(checkout)
    return Peer(
        BEFORE.name, BEFORE.title, partial(version, checkout), partial(prepare, checkout=checkout), BEFORE.color
    )


@cache
def _knows_limits(checkout: Path) -> bool:
    """Asked of the program itself: `check` refuses a key that it does not know."""
    with tempfile.TemporaryDirectory() as directory:
        path = write_config(Path(directory), "asked.yaml", _CONFIG.format(port=8000, replica_port=8001) + _LIMITS)
        return _ask([*_PROGRAM, "check", str(path)], checkout).returncode == 0


def _env(checkout: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(checkout)}


def _ask(argv: list[str], checkout: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **_env(checkout)}
    return subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=env)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.split("\n")
    return "".join(f": {line}" for line in lines[-2:-1])


def _not_named() -> str:
    raise MissingPeer("name the other checkout: --against DIR")


PEER = Peer("ours", "trio_router", version, prepare, "#ff7f0e")
BEFORE = Peer("ours_before", "trio_router, before", _not_named, prepare, "#ffbb78")
_OPAQUE = partial(prepare, extra="  dialect: opaque\n")
OPAQUE = Peer("ours_opaque", "trio_router, opaque", version, _OPAQUE, "#bcbd22")
