"""README.md is the door: it is short, its commands and its example are good, and the reference is made from the models."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.docs.pages import ROOT, blocks, page
from trio_router import parse_config
from trio_router.cli.main import main
from trio_router.cli.reference import BEGIN, END, PAGE, reference

README = page(ROOT / "README.md")


def test_it_is_a_door_and_not_the_whole_house() -> None:
    assert len(README.text.splitlines()) <= 170


def test_the_configuration_reference_is_made_from_the_models() -> None:
    written = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip()
    assert written == reference(), "run: python -m trio_router.cli.reference"


def test_every_key_says_what_it_means() -> None:
    assert not [row for row in reference().splitlines() if row.endswith("|  |")]


def test_its_first_configuration_is_good() -> None:
    (example,) = blocks(README, "yaml")
    assert parse_config(example).replicas[0].name == "gpu-a"


@pytest.mark.parametrize("command", ["serve", "check", "demo", "docs"])
def test_every_command_is_documented(command: str) -> None:
    assert command in main.commands
    assert f"trio-router {command}" in README.text
    assert f"trio-router {command}" in page(PAGE.parent / "command-line.md").text
    assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_the_exit_codes_of_a_wrong_configuration_are_as_documented() -> None:
    assert "2 the configuration or the command line is wrong" in page(PAGE.parent / "command-line.md").text
    assert CliRunner().invoke(main, ["check", "/nowhere.yaml"]).exit_code == 2
