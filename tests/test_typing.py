"""What an embedder's type checker says: README's program passes, mistakes with `ReplicaEndpoint` do not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SNIPPET = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def program() -> str:
    """README's lines, with a nursery around them."""
    assert SNIPPET is not None
    start = SNIPPET[1].index("async with open_router")
    top, inside = SNIPPET[1][:start], SNIPPET[1][start:]
    body = textwrap.indent(inside, " " * 8)
    return f"import trio\n\n{top}\nasync def main() -> None:\n    async with trio.open_nursery() as nursery:\n{body}\n"


MISTAKES = """
from trio_router import ReplicaEndpoint, RouterConfig

ReplicaEndpoint("http://a", "gpu-a", True, 2.0)
ReplicaEndpoint(url="http://a", name=None, primary=True, weight=1, max_sessions="auto", presets=["wan"])
RouterConfig(replicas=[ReplicaEndpoint("http://a")])
RouterConfig(replicas=(ReplicaEndpoint("http://a"),))
ReplicaEndpoint("http://a", wieght=2)  # line 8
ReplicaEndpoint("http://a", "gpu-a", True, 2.0, 4)  # line 9
ReplicaEndpoint()  # line 10
RouterConfig(replicas=[], helth_check_path="/x")  # line 11
"""


#: An embedder's program that hands over all four parts, and may not need to ignore anything.
PARTS = """
import random
from collections.abc import Callable, Sequence
from typing import Any

import trio

from trio_router import (
    TEXT, BINARY, AccessDenied, AccessRequest, CloseInfo, Conversation, Dialect, Events, FirstMessage, Frame, Message,
    Opaque, Policy, Refusal, Replica, ReplicaEndpoint, Router, RouterConfig, Verdict, build_router_app,
    open_router, serve_router,
)


class Mine(Opaque):
    name = "mine"
    client_speaks_first = True
    replica_watch = frozenset({TEXT})
    refusing_statuses = {409, 503}
    default_capacity = 2
    probe_path = "/ready"

    def open(self) -> Conversation:
        return MyConversation()


class MyConversation(Mine):
    def __init__(self) -> None:
        self.done = False

    def parse_first_message(self, message: bytes, *, text: bool) -> FirstMessage:
        return FirstMessage(client_id=message.decode(errors="replace"))

    def classify_reply(self, frame: Frame, payload: bytes) -> Verdict:
        return Verdict.HOLD if frame.opcode == TEXT else Verdict.COMMIT

    def classify_close(self, close: CloseInfo) -> Verdict:
        return Verdict.REFUSED if close.code == 1008 else super().classify_close(close)

    def replica_says(self, frame: Frame, payload: Callable[[], bytes]) -> Verdict:
        self.done = payload() == b"done"
        return Verdict.FINISHED if self.done else Verdict.PASS

    def error(self, code: str, message: str, *, retryable: bool, **extra: Any) -> Message | None:
        return Message(BINARY, message.encode())


class Last(Policy):
    def choose(self, candidates: Sequence[Replica], *, key: str | None, now: float, rng: random.Random) -> Replica:
        return candidates[-1]


class Sink(Events):
    def refused(self, refusal: Refusal) -> None:
        print(refusal.reason, refusal.status)


async def check(request: AccessRequest) -> AccessDenied | None:
    token: str | None = request.headers.get("authorization") or request.parameter("token")
    return None if token else AccessDenied(401, "no_token", [("WWW-Authenticate", "Bearer")])


CONFIG = RouterConfig(replicas=[ReplicaEndpoint("http://a")], dialect="mine", balance="last")
DIALECTS: dict[str, Dialect] = {"mine": Mine()}
router = Router(CONFIG, dialects=DIALECTS, policies={"last": Last}, events=[Sink()], authorize=check)
app = build_router_app(CONFIG, dialects={"mine": Mine()}, policies={"last": Last}, events=[Sink()], authorize=check)


async def main() -> None:
    async with open_router(CONFIG, dialects=DIALECTS, policies={"last": Last}, authorize=check) as running:
        print(running.port)
    await serve_router(CONFIG, dialects=DIALECTS, policies={"last": Last}, events=(Sink(),), authorize=check)


trio.run(main)
"""


#: A checker reads the package and what it stands on; on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(program())
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


def mypy(folder: Path) -> list[tuple[str, int]]:
    """Where mypy --strict complains, without our plugin and our settings."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "."]
    environ = {"MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(folder / "cache"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    found = [line.split(":") for line in done.stdout.splitlines()]
    return sorted({(file, int(line)) for file, line, kind, *_ in found if kind == " error"})


def pyright(folder: Path) -> list[tuple[str, int]]:
    """Where pyright complains in its strict mode."""
    settings = {
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "include": ["program.py", "mistakes.py", "parts.py"],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "--project", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout[done.stdout.index("{") :])["generalDiagnostics"]
    return sorted({(Path(entry["file"]).name, entry["range"]["start"]["line"] + 1) for entry in found})


EXPECTED = [("mistakes.py", line) for line in (8, 9, 10, 11)]


def test_mypy_passes_the_program_of_the_readme_and_finds_mistakes(folder: Path) -> None:
    assert mypy(folder) == EXPECTED


@pytest.mark.skipif(shutil.which("node") is None, reason="pyright runs on Node.js, which is not here")
def test_pyright_passes_the_program_of_the_readme_and_finds_mistakes(folder: Path) -> None:
    assert pyright(folder) == EXPECTED
