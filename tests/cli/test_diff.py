"""``trio-router diff``: two files, what differs, and an exit status that scripts can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trio_router.cli.main import main

BASE = "router: {replicas: [{url: http://a, name: a}]}"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRIO_ROUTER_HOST", "TRIO_ROUTER_PORT", "TRIO_ROUTER_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def run(tmp_path: Path, new: str, *options: str) -> Result:
    for name, text in (("old.yaml", BASE), ("new.yaml", new)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), *options])


def test_the_same_twice_is_no_difference(tmp_path: Path) -> None:
    found = run(tmp_path, BASE)
    assert (found.exit_code, found.stdout) == (0, "no difference\n")


def test_what_a_running_router_can_take_over(tmp_path: Path) -> None:
    found = run(tmp_path, "router: {replicas: [http://b], log: {level: debug}}")
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "+ replica b http://b",
        "- replica a http://a",
        "~ router.log.level: info -> debug (at once)",
    ]


def test_what_needs_a_restart(tmp_path: Path) -> None:
    found = run(tmp_path, BASE.replace("router: {", "router: {port: 1, "))
    assert (found.exit_code, found.stdout) == (1, "~ router.port: 9000 -> 1 (needs a restart)\n")
    assert found.stderr == "a restart is needed to change router.port\n"


def test_as_json(tmp_path: Path) -> None:
    found = run(tmp_path, BASE.replace("name: a", "name: a, weight: 2"), "--json")
    assert json.loads(found.stdout)["replicas"]["changed"][0]["changes"] == {"weight": [1.0, 2.0]}


def test_a_wrong_file_is_told_with_all_that_is_wrong(tmp_path: Path) -> None:
    found = run(tmp_path, "router: {replicas: [http://a], port: x, hots: y}")
    assert found.exit_code == 2
    assert "2 problems" in found.stderr
    assert found.stdout == ""
