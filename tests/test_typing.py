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


#: A checker reads the package and what it stands on; on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(program())
    (tmp_path / "mistakes.py").write_text(MISTAKES)
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
    settings = {"extraPaths": [str(ROOT)], "typeCheckingMode": "strict", "include": ["program.py", "mistakes.py"]}
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
