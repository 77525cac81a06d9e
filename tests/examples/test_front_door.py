"""CONTRIBUTING.md and SECURITY.md name only files and commands that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = ("CONTRIBUTING.md", "SECURITY.md")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"\b(?:tests|bench|trio_router)/[\w/.-]*\w", text(page)))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_promise_names_its_tests() -> None:
    table = text("SECURITY.md").partition("| promise | tests |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()]
    assert rows
    assert [promise for promise, tests in rows if "`tests/" not in tests] == []


def test_every_hatch_command_is_a_script_of_its_environment() -> None:
    envs = tomllib.loads(text("pyproject.toml"))["tool"]["hatch"]["envs"]
    commands = re.findall(r"`hatch run (?:(\w+):)?(\w+)`", text("CONTRIBUTING.md"))
    assert commands
    assert [pair for pair in commands if pair[1] not in envs[pair[0] or "default"]["scripts"]] == []
