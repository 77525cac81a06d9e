"""The pages: every link leads somewhere, every example is good, and `trio-router docs` prints them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.docs.pages import DOCS, ROOT, all_pages, blocks, name_of, page
from trio_router import parse_config
from trio_router.cli.docs import page_names
from trio_router.cli.main import main
from trio_router.core.session.outcome import Cause, Phase

PYTHON = [(path, code) for path in all_pages() for code in blocks(page(path), "python") if path.parent != ROOT]


@pytest.mark.parametrize("path", all_pages(), ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    found = page(path)
    for link in found.links():
        target, _, anchor = link.partition("#")
        where = (path.parent / target).resolve() if target else path
        assert where.exists(), link
        if anchor:
            assert anchor in page(where).anchors(), link


@pytest.mark.parametrize("path", all_pages(), ids=name_of)
def test_every_configuration_is_good(path: Path) -> None:
    for text in blocks(page(path), "yaml"):
        if "router" in (yaml.safe_load(text) or {}):
            parse_config(text)


def test_every_page_is_in_the_list_of_the_index_and_of_the_site() -> None:
    index, site = page(DOCS / "index.md").text, (ROOT / ".mkdocs.yml").read_text(encoding="utf-8")
    for name in page_names():
        assert name == "index" or f"({name}.md)" in index
        assert f"- {name}.md" in site


def test_the_python_examples_pass_a_strict_type_checker_and_can_be_imported(tmp_path: Path) -> None:
    assert len(PYTHON) >= 3
    for number, (_, code) in enumerate(PYTHON):
        (tmp_path / f"example_{number}.py").write_text(code, encoding="utf-8")
        compiled = compile(code, f"example_{number}.py", "exec")
        exec(compiled, {"__name__": f"example_{number}"})
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", "/dev/null", "."]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"MYPYPATH": str(ROOT), "PATH": ""}
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_docs_lists_all_pages_with_their_titles() -> None:
    found = CliRunner().invoke(main, ["docs"])
    assert found.exit_code == 0
    assert [line.split()[0] for line in found.output.splitlines()] == page_names()
    assert "What a client is told" in found.output


@pytest.mark.parametrize("given", ["reference/closes", "closes", "closes.md"])
def test_docs_prints_a_page_as_it_stands_where_no_terminal_is(given: str) -> None:
    found = CliRunner().invoke(main, ["docs", given])
    assert found.exit_code == 0
    assert found.output == (DOCS / "reference" / "closes.md").read_text(encoding="utf-8")


def test_docs_names_the_nearest_page_for_one_that_is_not_there() -> None:
    found = CliRunner().invoke(main, ["docs", "clsoes"])
    assert found.exit_code == 2
    assert "there is no page 'clsoes'; did you mean 'closes'?" in found.output


@pytest.mark.parametrize("word", [*Phase, *Cause])
def test_every_phase_and_cause_is_explained(word: str) -> None:
    assert f"| `{word}` | " in page(DOCS / "reference" / "status.md").text
